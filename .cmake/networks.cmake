# The demo networks are texts, layers/networks/*.net, and part of the library: their names and texts for models.cpp.
file(GLOB networks CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/layers/networks/*.net)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${networks})
set(lines "")
foreach(path ${networks})
  get_filename_component(name ${path} NAME_WE)
  file(READ ${path} text)
  string(APPEND lines "{\"${name}\", R\"net(${text})net\"},\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/networks.inc CONTENT "${lines}" @ONLY)
set_source_files_properties(layers/networks/models.cpp PROPERTIES
                            COMPILE_DEFINITIONS SIGMA_NETWORKS="${PROJECT_BINARY_DIR}/networks.inc"
                            OBJECT_DEPENDS ${PROJECT_BINARY_DIR}/networks.inc)

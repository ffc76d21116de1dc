# What is installed beside libraries and headers: the CMake package with its components, and pkg-config files.
set(SIGMA_DEFAULT_COMPONENTS layers optim data training)  # sigma::sigma, sigma.pc and <sigma/sigma.h>
sigma_forward(sigma.h apps/sigma.h)
install(FILES ${PROJECT_SOURCE_DIR}/apps/sigma.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sigma)

# What sigma::sigma is to an installed program it is to one that builds sigma along.
add_library(sigma_sigma INTERFACE)
add_library(sigma::sigma ALIAS sigma_sigma)
list(TRANSFORM SIGMA_DEFAULT_COMPONENTS PREPEND sigma_ OUTPUT_VARIABLE default_targets)
target_link_libraries(sigma_sigma INTERFACE ${default_targets})

include(CMakePackageConfigHelpers)
set(config ${PROJECT_BINARY_DIR}/sigmaConfig.cmake)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sigma)
configure_file(${PROJECT_SOURCE_DIR}/.cmake/sigmaConfig.cmake.in ${config} @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sigmaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT sigmaTargets NAMESPACE sigma:: DESTINATION ${package_dir})
install(FILES ${config} ${PROJECT_BINARY_DIR}/sigmaConfigVersion.cmake DESTINATION ${package_dir})

list(TRANSFORM SIGMA_DEFAULT_COMPONENTS PREPEND sigma- OUTPUT_VARIABLE default_packages)
list(JOIN default_packages " " default_packages)
file(WRITE ${PROJECT_BINARY_DIR}/pkgconfig/sigma.pc
"Name: sigma
Description: A deep-learning framework in C++20: what <sigma/sigma.h> includes
Version: ${PROJECT_VERSION}
Requires: ${default_packages}
")
get_property(components GLOBAL PROPERTY SIGMA_COMPONENTS)
foreach(name ${components})
  install(FILES ${PROJECT_BINARY_DIR}/pkgconfig/sigma-${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/pkgconfig/sigma.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

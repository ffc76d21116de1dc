# Builds a user's project that has sigma as a part and runs its program: by add_subdirectory, and by FetchContent.
# sigma's warnings and optimisation must not reach the user's files, nor its tests and programs the user's build.
# As plain as a user's first try, without optimisation, and the kernels for one instruction set, so that it takes a
# minute; as a release, which takes a few, with RELEASE=ON.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set(work ${BUILD}/consumer_subproject)
file(REMOVE_RECURSE ${work})
if(RELEASE)
  set(options -DCMAKE_BUILD_TYPE=Release)
else()
  set(options -DCMAKE_BUILD_TYPE= -DCMAKE_CXX_FLAGS=-DHWY_COMPILE_ONLY_STATIC)
endif()
# Both in one build folder: what the first has compiled serves the second, unless their commands differ.
foreach(way add_subdirectory FetchContent)
  run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work} -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER}
      ${options} -DSIGMA_BY=${way} -DSIGMA_FROM=${ROOT})

  file(READ ${work}/compile_commands.json commands)
  string(JSON count LENGTH "${commands}")
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON file GET "${commands}" ${i} file)
    string(JSON command GET "${commands}" ${i} command)
    if(file MATCHES "trainer.cpp$" AND command MATCHES "-Wall|-Werror|-O1|-O3 -DNDEBUG .*-O3")
      message(FATAL_ERROR "sigma's flags reached the user's file: ${command}")
    endif()
    if(file MATCHES "/apps/(verbs|flags|report)/|_test.cpp$")
      message(FATAL_ERROR "${file} is built in another project")
    endif()
  endforeach()

  file(REMOVE ${work}/trainer)
  run(${CMAKE_COMMAND} --build ${work})
  run(${CMAKE_COMMAND} -E chdir ${work} ./trainer)
endforeach()

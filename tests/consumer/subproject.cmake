# Configures a user's project that has sigma as a part (add_subdirectory; FetchContent does the same): sigma's warnings
# and optimisation must not reach the user's files, nor its tests and programs the user's build. Built, which takes a
# minute, when FULL is set (tests/slow/run).
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set(work ${BUILD}/consumer_subproject)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work} -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_BUILD_TYPE=Release -DSIGMA_FROM=${ROOT})

file(READ ${work}/compile_commands.json commands)
string(JSON count LENGTH "${commands}")
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  string(JSON file GET "${commands}" ${i} file)
  string(JSON command GET "${commands}" ${i} command)
  if(file MATCHES "trainer.cpp$" AND command MATCHES "-Wall|-Werror|-O3 -DNDEBUG .*-O3")
    message(FATAL_ERROR "sigma's flags reached the user's file: ${command}")
  endif()
  if(file MATCHES "/apps/(verbs|flags|report)/|_test.cpp$")
    message(FATAL_ERROR "${file} is built in another project")
  endif()
endforeach()
if(FULL)
  run(${CMAKE_COMMAND} --build ${work})
  run(${work}/trainer)
endif()

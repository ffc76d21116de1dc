# Fails when a source file breaks a rule that neither compiler nor formatter knows: functions of at most 80 lines, files
# of at most 400, no question after a class outside layers/role.h, no flag of the command line in a library's text.
cmake_minimum_required(VERSION 3.22)
set(files "")
foreach(folder core autograd layers optim data apps tests)
  file(GLOB_RECURSE found RELATIVE ${ROOT} ${ROOT}/${folder}/*.h ${ROOT}/${folder}/*.cpp)
  list(APPEND files ${found})
endforeach()
execute_process(COMMAND awk -f ${CMAKE_CURRENT_LIST_DIR}/check_rules.awk ${files} WORKING_DIRECTORY ${ROOT}
                OUTPUT_VARIABLE out ERROR_VARIABLE errors RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  string(APPEND errors "awk: ${status}")
endif()
if(out OR errors)
  string(REPLACE "\n" "\n  " lines "${out}${errors}")
  message(FATAL_ERROR "rules that are broken:\n  ${lines}")
endif()

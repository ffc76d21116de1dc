# Fails when a source file breaks a rule that neither compiler nor formatter knows: functions of at most 80 lines, files of
# at most 400, no question after a layer's class, no flag of the command line in a library's message.
cmake_minimum_required(VERSION 3.22)
set(files "")
foreach(folder core autograd layers optim data apps tests)
  file(GLOB_RECURSE found RELATIVE ${ROOT} ${ROOT}/${folder}/*.h ${ROOT}/${folder}/*.cpp)
  list(APPEND files ${found})
endforeach()
execute_process(COMMAND awk -f ${CMAKE_CURRENT_LIST_DIR}/check_rules.awk ${files} WORKING_DIRECTORY ${ROOT}
                OUTPUT_VARIABLE out ERROR_VARIABLE errors RESULT_VARIABLE status)
if(out OR errors OR NOT status EQUAL 0)
  message(FATAL_ERROR "${out}${errors}")
endif()

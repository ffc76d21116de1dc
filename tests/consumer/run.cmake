# run(COMMAND...) runs a command, fails with its output when it fails, and leaves it in `out`.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: exit ${status}\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

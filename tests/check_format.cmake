# Fails when clang-format would change a source file.
file(GLOB_RECURSE files ${ROOT}/core/*.h ${ROOT}/core/*.cpp ${ROOT}/autograd/*.h ${ROOT}/autograd/*.cpp ${ROOT}/layers/*.h
     ${ROOT}/layers/*.cpp ${ROOT}/optim/*.h ${ROOT}/optim/*.cpp ${ROOT}/data/*.h ${ROOT}/data/*.cpp ${ROOT}/apps/*.h
     ${ROOT}/apps/*.cpp ${ROOT}/tests/*.h ${ROOT}/tests/*.cpp)
execute_process(COMMAND ${CLANG_FORMAT} --dry-run -Werror ${files} RESULT_VARIABLE status ERROR_VARIABLE message)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "clang-format would change files:\n${message}")
endif()

# Installs the package into a fresh folder and builds a user's program against it by find_package and by pkg-config.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
set(work ${BUILD}/consumer_installed)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
run(${work}/prefix/bin/sigma --version)

run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -G Ninja -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${work}/prefix)
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/trainer)

set(ENV{PKG_CONFIG_PATH} ${work}/prefix/${LIBDIR}/pkgconfig:$ENV{PKG_CONFIG_PATH})
run(pkg-config --cflags --libs sigma)
if(out MATCHES "curl|crypto|ssl")
  message(FATAL_ERROR "a trainer is told to link ${out}")
endif()
separate_arguments(flags UNIX_COMMAND "${out}")
run(${COMPILER} -std=c++20 -O1 ${CMAKE_CURRENT_LIST_DIR}/trainer.cpp -o ${work}/by_pkg_config ${flags})
run(${work}/by_pkg_config)

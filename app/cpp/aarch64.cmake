# Builds for a board with an ARM CPU on another machine (Debian: g++-aarch64-linux-gnu):
#
#     cmake -S app/cpp -B build/app/aarch64 --toolchain app/cpp/aarch64.cmake -D EDGE_APP_BOARD=ROOT ...
#
# ROOT is the board's file system, or a copy: headers and libraries of OpenSSL and nlohmann-json are looked for there alone.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH ${EDGE_APP_BOARD})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Debian keeps a part of OpenSSL's headers there; after the compiler's own, because the board may have a C library's as well.
set(CMAKE_CXX_FLAGS_INIT "-idirafter ${EDGE_APP_BOARD}/usr/include/aarch64-linux-gnu")
# The compiler is tried in a project of its own, which needs it too.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES EDGE_APP_BOARD)

# SPDX-License-Identifier: MIT
# Warnings are errors, in our code only. Sanitizers are for every target, also the libraries' headers.
add_library(viaduct_options INTERFACE)
target_compile_options(viaduct_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wvla -Wundef -fno-strict-aliasing
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
# gcc 12 sees an overlap in each optimised `"text" + string` that there is not (its bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(viaduct_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
target_include_directories(viaduct_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})

if(VIADUCT_SANITIZE)
  add_compile_options(-fsanitize=${VIADUCT_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${VIADUCT_SANITIZE})
  if(VIADUCT_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# libFuzzer steers by what the libraries' code reaches.
if(VIADUCT_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-fstack-protector-strong -D_FORTIFY_SOURCE=2)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the steps ask of their target (packet.h), for every one that hands nothing up: the data path, the dry
 * walk and the keeper, which takes the session step for them, must not differ.
 */
#ifndef VIADUCT_DATAPATH_NATIVE_TARGET_H
#define VIADUCT_DATAPATH_NATIVE_TARGET_H

#define HEAD_BYTES 256
#define TARGET_PUNTS 0
#define PORT_SCAN 65536 /* all there are */
#ifndef REPEAT
#define REPEAT(times, call, context)                                                               \
  for (__u32 i_ = 0; i_ < (times) && !call(i_, context); i_++)                                     \
    ;
#endif

#endif

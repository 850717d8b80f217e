/* SPDX-License-Identifier: MIT */
/* Stub: bcc sizes perf buffers with it. The running kernel's value comes as -DPAGE_SIZE. */
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif

/* SPDX-License-Identifier: MIT */
/* Stub: bcc brings its own; a second one would collide with it. */

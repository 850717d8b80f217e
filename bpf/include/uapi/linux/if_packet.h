/* SPDX-License-Identifier: MIT */
/* Stub: included by bcc, unused. */

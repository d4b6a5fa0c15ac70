/* www.S - puts the page into the binary: every other file of www/, compressed. The Makefile writes
 * the list of them, one line for each ("page style.css"), and api/files.c serves what it finds in
 * these three tables:
 *
 *      page_paths    "/icon.svg\0/index.html\0...", and an empty path at the end
 *      page_ends     for each file, where it ends in page_bytes, as 32 bits
 *      page_bytes    one file after the other
 *
 * The tables contain no addresses, so nothing in them is relocated when a position-independent
 * program starts. -MMD does not see .incbin, so the Makefile lists the files as prerequisites. */

.macro page name
    .section .rodata.page_bytes, "a"
    .incbin "build/www/\name\().gz"
1:
    .section .rodata.page_ends, "a"
    .long 1b - page_bytes
    .section .rodata.page_paths, "a"
    .asciz "/\name"
.endm

    .global page_paths, page_ends, page_bytes

    .section .rodata.page_bytes, "a"
page_bytes:
    .section .rodata.page_ends, "a"
    .balign 4
page_ends:
    .section .rodata.page_paths, "a"
page_paths:

    .include "build/www/list"

    .section .rodata.page_paths, "a"
    .byte 0

/* Without this section the linker marks the stack as executable. */
    .section .note.GNU-stack, "", %progbits

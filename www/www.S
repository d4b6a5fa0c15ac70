/* www.S - puts the page into the binary: the compressed files of www/, with a symbol at the
 * beginning and the end of each (api/files.c serves them). -MMD does not see .incbin, so the
 * Makefile lists the files as prerequisites of www.o. */

    .section .rodata

.macro page name, file
    .global page_\name, page_\name\()_end
page_\name:
    .incbin "build/www/\file\().gz"
page_\name\()_end:
.endm

    page index, index.html
    page style, style.css
    page chat, chat.js
    page icon, icon.svg

/* Without this section the linker marks the stack as executable. */
    .section .note.GNU-stack, "", %progbits

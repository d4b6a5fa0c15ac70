/* www.S - puts the page, compressed, into the binary. The Makefile lists these files as
 * what www.o depends on, since no dependency file does. */

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

/* Without this line the linker makes the stack executable. */
    .section .note.GNU-stack, "", %progbits

/* www.S - puts the page, plain and compressed, into the binary. The Makefile lists these files as
 * what www.o depends on, since no dependency file does. */

    .section .rodata

.macro page name, file
    .global page_\name, page_\name\()_end, page_\name\()_gz, page_\name\()_gz_end
page_\name:
    .incbin "www/\file"
page_\name\()_end:
page_\name\()_gz:
    .incbin "build/www/\file\().gz"
page_\name\()_gz_end:
.endm

    page index, index.html
    page style, style.css
    page chat, chat.js
    page icon, icon.svg

/* Without this line the linker makes the stack executable. */
    .section .note.GNU-stack, "", %progbits

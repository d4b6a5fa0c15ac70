/* version.h - the version, which stands nowhere else in the code. */

#ifndef VERSION_H
#define VERSION_H

#define SSECHAT_VERSION "0.1.0"

#endif

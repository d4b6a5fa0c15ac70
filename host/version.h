/* version.h - the version, which is defined only here. */

#ifndef VERSION_H
#define VERSION_H

#define SSECHAT_VERSION "0.3.0"

#endif

/* version.h - the one place that knows the version. */

#ifndef VERSION_H
#define VERSION_H

#define SSECHAT_VERSION "0.1.0"

#endif

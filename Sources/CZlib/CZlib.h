// The system's zlib, for compressed capture files.
#ifndef CZLIB_H
#define CZLIB_H
#include <zlib.h>

// inflateInit2 is a macro. 15 + 16: the largest window, gzip only.
static inline int CZlib_begin(z_stream *stream) { return inflateInit2(stream, 15 + 16); }

#endif

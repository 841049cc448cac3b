// Clang knows #embed, which is newer than the C that SwiftPM asks of it.
#pragma clang diagnostic ignored "-Wc23-extensions"

#include "CLineEdit.h"

static const char libedit[] = {
#if __has_embed("/usr/lib/x86_64-linux-gnu/pkgconfig/libedit.pc")
#embed "/usr/lib/x86_64-linux-gnu/pkgconfig/libedit.pc" suffix(, )
#elif __has_embed("/usr/lib/aarch64-linux-gnu/pkgconfig/libedit.pc")
#embed "/usr/lib/aarch64-linux-gnu/pkgconfig/libedit.pc" suffix(, )
#endif
    0};
const char *const natter_edit_description = libedit;

static const char libbsd[] = {
#if __has_embed("/usr/lib/x86_64-linux-gnu/pkgconfig/libbsd.pc")
#embed "/usr/lib/x86_64-linux-gnu/pkgconfig/libbsd.pc" suffix(, )
#elif __has_embed("/usr/lib/aarch64-linux-gnu/pkgconfig/libbsd.pc")
#embed "/usr/lib/aarch64-linux-gnu/pkgconfig/libbsd.pc" suffix(, )
#endif
    0};
const char *const natter_bsd_description = libbsd;

static const char libmd[] = {
#if __has_embed("/usr/lib/x86_64-linux-gnu/pkgconfig/libmd.pc")
#embed "/usr/lib/x86_64-linux-gnu/pkgconfig/libmd.pc" suffix(, )
#elif __has_embed("/usr/lib/aarch64-linux-gnu/pkgconfig/libmd.pc")
#embed "/usr/lib/aarch64-linux-gnu/pkgconfig/libmd.pc" suffix(, )
#endif
    0};
const char *const natter_md_description = libmd;

// #embed makes the compiler notice when a page changes.
// Clang knows #embed, which is newer than the C that SwiftPM asks of it.
#pragma clang diagnostic ignored "-Wc23-extensions"

#include "CManual.h"

static const unsigned char natter[] = {
#embed "../../../man/natter.mdoc"
};
static const unsigned char natter_faq[] = {
#embed "../../../man/natter-faq.7"
};
static const unsigned char natter_formats[] = {
#embed "../../../man/natter-formats.5"
};
static const unsigned char natter_http[] = {
#embed "../../../man/natter-http.7"
};
static const unsigned char natter_postgresql[] = {
#embed "../../../man/natter-postgresql.7"
};
static const unsigned char natter_tutorial[] = {
#embed "../../../man/natter-tutorial.7"
};

#define GUIDE(name, array) {name, array, sizeof array}

static const struct natter_guide guides[] = {
    GUIDE("natter", natter),
    GUIDE("natter-faq", natter_faq),
    GUIDE("natter-formats", natter_formats),
    GUIDE("natter-http", natter_http),
    GUIDE("natter-postgresql", natter_postgresql),
    GUIDE("natter-tutorial", natter_tutorial),
};

const struct natter_guide *natter_guide_at(size_t index) {
    return index < sizeof guides / sizeof guides[0] ? &guides[index] : NULL;
}

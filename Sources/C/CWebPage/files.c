// #embed makes the compiler notice when a file changes. The page has no build step.
// Clang knows #embed, which is newer than the C that SwiftPM asks of it.
#pragma clang diagnostic ignored "-Wc23-extensions"

#include "CWebPage.h"

static const unsigned char admin_js[] = {
#embed "page/admin.js"
};
static const unsigned char api_js[] = {
#embed "page/api.js"
};
static const unsigned char app_js[] = {
#embed "page/app.js"
};
static const unsigned char composer_js[] = {
#embed "page/composer.js"
};
static const unsigned char conversation_js[] = {
#embed "page/conversation.js"
};
static const unsigned char dialog_js[] = {
#embed "page/dialog.js"
};
static const unsigned char dom_js[] = {
#embed "page/dom.js"
};
static const unsigned char ends_js[] = {
#embed "page/ends.js"
};
static const unsigned char errors_js[] = {
#embed "page/errors.js"
};
static const unsigned char files_js[] = {
#embed "page/files.js"
};
static const unsigned char help_js[] = {
#embed "page/help.js"
};
static const unsigned char history_js[] = {
#embed "page/history.js"
};
static const unsigned char i18n_js[] = {
#embed "page/i18n.js"
};
static const unsigned char icon_svg[] = {
#embed "page/icon.svg"
};
static const unsigned char index_html[] = {
#embed "page/index.html"
};
static const unsigned char keys_js[] = {
#embed "page/keys.js"
};
static const unsigned char layout_js[] = {
#embed "page/layout.js"
};
static const unsigned char live_js[] = {
#embed "page/live.js"
};
static const unsigned char login_js[] = {
#embed "page/login.js"
};
static const unsigned char natter_webmanifest[] = {
#embed "page/natter.webmanifest"
};
static const unsigned char notify_js[] = {
#embed "page/notify.js"
};
static const unsigned char outbox_js[] = {
#embed "page/outbox.js"
};
static const unsigned char people_js[] = {
#embed "page/people.js"
};
static const unsigned char pictures_js[] = {
#embed "page/pictures.js"
};
static const unsigned char place_js[] = {
#embed "page/place.js"
};
static const unsigned char row_js[] = {
#embed "page/row.js"
};
static const unsigned char rows_js[] = {
#embed "page/rows.js"
};
static const unsigned char ru_js[] = {
#embed "page/ru.js"
};
static const unsigned char search_js[] = {
#embed "page/search.js"
};
static const unsigned char settings_js[] = {
#embed "page/settings.js"
};
static const unsigned char shell_js[] = {
#embed "page/shell.js"
};
static const unsigned char shellpanel_js[] = {
#embed "page/shellpanel.js"
};
static const unsigned char start_js[] = {
#embed "page/start.js"
};
static const unsigned char state_js[] = {
#embed "page/state.js"
};
static const unsigned char storage_js[] = {
#embed "page/storage.js"
};
static const unsigned char style_css[] = {
#embed "page/style.css"
};
static const unsigned char switcher_js[] = {
#embed "page/switcher.js"
};
static const unsigned char text_js[] = {
#embed "page/text.js"
};

#define FILE(name, type, bytes) {name, type, bytes, sizeof(bytes)}
#define SCRIPT(name, bytes) FILE(name, "text/javascript; charset=utf-8", bytes)

static const struct natter_page_file files[] = {
    SCRIPT("admin.js", admin_js),
    SCRIPT("api.js", api_js),
    SCRIPT("app.js", app_js),
    SCRIPT("composer.js", composer_js),
    SCRIPT("conversation.js", conversation_js),
    SCRIPT("dialog.js", dialog_js),
    SCRIPT("dom.js", dom_js),
    SCRIPT("ends.js", ends_js),
    SCRIPT("errors.js", errors_js),
    SCRIPT("files.js", files_js),
    SCRIPT("help.js", help_js),
    SCRIPT("history.js", history_js),
    SCRIPT("i18n.js", i18n_js),
    FILE("icon.svg", "image/svg+xml", icon_svg),
    FILE("index.html", "text/html; charset=utf-8", index_html),
    SCRIPT("keys.js", keys_js),
    SCRIPT("layout.js", layout_js),
    SCRIPT("live.js", live_js),
    SCRIPT("login.js", login_js),
    FILE("natter.webmanifest", "application/manifest+json", natter_webmanifest),
    SCRIPT("notify.js", notify_js),
    SCRIPT("outbox.js", outbox_js),
    SCRIPT("people.js", people_js),
    SCRIPT("pictures.js", pictures_js),
    SCRIPT("place.js", place_js),
    SCRIPT("row.js", row_js),
    SCRIPT("rows.js", rows_js),
    SCRIPT("ru.js", ru_js),
    SCRIPT("search.js", search_js),
    SCRIPT("settings.js", settings_js),
    SCRIPT("shell.js", shell_js),
    SCRIPT("shellpanel.js", shellpanel_js),
    SCRIPT("start.js", start_js),
    SCRIPT("state.js", state_js),
    SCRIPT("storage.js", storage_js),
    FILE("style.css", "text/css; charset=utf-8", style_css),
    SCRIPT("switcher.js", switcher_js),
    SCRIPT("text.js", text_js),
};

const struct natter_page_file *natter_page_file_at(size_t index) {
    return index < sizeof files / sizeof files[0] ? &files[index] : NULL;
}

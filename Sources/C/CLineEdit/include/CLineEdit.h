// libedit 3.1 (Debian 12). Its functions have variable arguments or wide characters, which Swift can't call.
#pragma once
#include <features.h>
#include <stdint.h>
#include <stdio.h>
#include <wchar.h>
// Otherwise the header declares it once more.
#define HAVE_WCSDUP 1
#include <histedit.h>

typedef int (*natter_edit_reader)(EditLine *, uint32_t *);
typedef uint32_t *(*natter_edit_prompt)(EditLine *);
typedef unsigned char (*natter_edit_action)(EditLine *, uint32_t);

static inline EditLine *natter_edit_open(void *owner, natter_edit_prompt prompt, natter_edit_reader reader) {
    EditLine *editor = el_init("natter", stdin, stdout, stderr);
    if (editor == NULL) return NULL;
    el_wset(editor, EL_EDITOR, L"emacs");
    // Between two lines, keys wait for the next line as they are: not shown, and Ctrl-D and Ctrl-U wait with them.
    el_wset(editor, EL_SETTY, L"-echo", L"-icanon", NULL);
    el_wset(editor, EL_CLIENTDATA, owner);
    el_wset(editor, EL_PROMPT, prompt);
    el_wset(editor, EL_GETCFN, reader);
    // Not every description of a terminal has this key.
    el_wset(editor, EL_BIND, L"\033[3~", L"ed-delete-next-char", NULL);
    // There is no history to search, and commands of libedit itself would write over the line.
    el_wset(editor, EL_BIND, L"^R", L"ed-redisplay", NULL);
    el_wset(editor, EL_BIND, L"\033x", L"ed-unassigned", NULL);
    el_wset(editor, EL_BIND, L"\033X", L"ed-unassigned", NULL);
    return editor;
}

static inline void *natter_edit_owner(EditLine *editor) {
    void *owner = NULL;
    el_wget(editor, EL_CLIENTDATA, &owner);
    return owner;
}

static inline void natter_edit_on_tab(EditLine *editor, natter_edit_action action) {
    el_wset(editor, EL_ADDFN, L"natter-complete", L"Complete a name", action);
    el_wset(editor, EL_BIND, L"^I", L"natter-complete", NULL);
}

static inline void natter_edit_on_up(EditLine *editor, natter_edit_action action) {
    el_wset(editor, EL_ADDFN, L"natter-recall", L"Edit the last message", action);
    el_wset(editor, EL_BIND, L"\033[A", L"natter-recall", NULL);
    el_wset(editor, EL_BIND, L"\033OA", L"natter-recall", NULL);
    el_wset(editor, EL_BIND, L"^P", L"natter-recall", NULL);
}

static inline void natter_edit_on_down(EditLine *editor, natter_edit_action action) {
    el_wset(editor, EL_ADDFN, L"natter-forget", L"Leave the last message as it is", action);
    el_wset(editor, EL_BIND, L"\033[B", L"natter-forget", NULL);
    el_wset(editor, EL_BIND, L"\033OB", L"natter-forget", NULL);
    el_wset(editor, EL_BIND, L"^N", L"natter-forget", NULL);
}

// No key of emacs, so nothing else is bound to it.
enum { natter_edit_prefill_key = 0x1F };

static inline void natter_edit_on_prefill(EditLine *editor, natter_edit_action action) {
    el_wset(editor, EL_ADDFN, L"natter-prefill", L"Go on with a text", action);
    el_wset(editor, EL_BIND, L"^_", L"natter-prefill", NULL);
}

static inline void natter_edit_refresh(EditLine *editor) { el_wset(editor, EL_REFRESH); }

// The next line with its newline; NULL at the end.
static inline const uint32_t *natter_edit_read(EditLine *editor, int *count) {
    return (const uint32_t *)el_wgets(editor, count);
}

static inline const uint32_t *natter_edit_line(EditLine *editor, long *cursor, long *count) {
    const LineInfoW *line = el_wline(editor);
    *cursor = line->cursor - line->buffer;
    *count = line->lastchar - line->buffer;
    return (const uint32_t *)line->buffer;
}

static inline void natter_edit_insert(EditLine *editor, const uint32_t *text) {
    el_winsertstr(editor, (const wchar_t *)text);
}

// <wchar.h> has it for X/Open sources only.
int wcwidth(wchar_t character);
static inline int natter_edit_width(uint32_t character) { return wcwidth((wchar_t)character); }

enum {
    natter_edit_redraw = CC_REFRESH,
    natter_edit_beep = CC_ERROR,
};

// In libtinfo, which is a part of ncurses.
const char *curses_version(void);

// What the build found beside libedit, libbsd and libmd for pkg-config; empty if there was nothing. Themselves, they can't say
// which version they are.
extern const char *const natter_edit_description, *const natter_bsd_description, *const natter_md_description;

internal import CLineEdit
internal import Glibc
internal import NatterSystem

/// The owner answers a line editor while a line is typed.
public protocol LineEditorOwner: AnyObject {
    /// It stands before the line. The editor asks again whenever it draws.
    var prompt: String { get }
    /// The descriptor that the editor waits for besides the keyboard, and for how many milliseconds at most; -1 has no end.
    var attention: (descriptor: Int32, milliseconds: Int32) { get }
    /// The descriptor can be read, or the time is over.
    func attend()
    /// Words that begin with this one.
    func completions(of word: String) -> [String]
    /// A text to edit when the user presses Up on an empty line.
    func recall() -> String?
    /// The user leaves that text as it is.
    ///
    /// - Returns: false if no such text is in the line, which then stays, too.
    func forget() -> Bool
}

/// The lower line of a terminal, by libedit. Other output stands above it and does not disturb what is being typed.
///
/// Only one editor may exist, and all of it runs on one thread. Its caller restores the terminal when a signal stops or ends
/// the program: libedit would do so for the first signal of a line only, because it does not read the keys itself.
public final class LineEditor {
    /// It holds the editor, so it outlives it.
    private unowned let owner: any LineEditorOwner
    private var handle: OpaquePointer?
    /// The prompt as libedit wants it, ended by 0. It must live until the next one is asked for.
    private var prompt: [UInt32] = [0]
    private var promptText: UnsafeMutablePointer<UInt32>?
    /// Whether a line is on the screen.
    private var isEditing = false
    /// The width of the terminal that libedit draws for.
    private var columns = LineEditor.terminalColumns
    /// A byte that did not continue the key before it.
    private var pushedBack: UInt8?
    /// The rest of a key of several characters, for libedit.
    private var key: ArraySlice<UInt8> = []
    /// The text that libedit inserts next: what the next line begins with, pasted text, or a newline.
    private var prefilled: String?
    /// When the last byte came, in milliseconds, and whether a newline that came just before it was text.
    private var lastByte: Int64 = 0
    private var isPasting = false
    /// A key that comes so soon behind another one was pasted with it, or typed while nobody listened.
    private static let burstMilliseconds: Int32 = 30

    /// - Returns: nil if the terminal can't be used.
    public init?(_ owner: any LineEditorOwner) {
        self.owner = owner
        // libedit asks the locale which characters can be printed, and how they are encoded.
        if setlocale(LC_CTYPE, "C.UTF-8") == nil { setlocale(LC_CTYPE, "") }
        handle = natter_edit_open(
            Unmanaged.passUnretained(self).toOpaque(), { LineEditor.of($0)?.drawPrompt() },
            { LineEditor.of($0)?.readCharacter(into: $1) ?? -1 })
        guard let handle else { return nil }
        // The terminal marks what is pasted.
        writeAll(Array("\u{1B}[?2004h".utf8))
        // It interrupts the wait for a key.
        _ = signal(SIGWINCH) { _ in }
        natter_edit_on_tab(handle) { editor, _ in LineEditor.of(editor)?.complete() ?? 0 }
        natter_edit_on_up(handle) { editor, _ in LineEditor.of(editor)?.recall() ?? 0 }
        natter_edit_on_down(handle) { editor, _ in LineEditor.of(editor)?.forget() ?? 0 }
        natter_edit_on_prefill(handle) { editor, _ in LineEditor.of(editor)?.insertPrefilled() ?? 0 }
    }

    deinit {
        if let handle {
            writeAll(Array("\u{1B}[?2004l".utf8))
            el_end(handle)
        }
        promptText?.deallocate()
    }

    private static func of(_ editor: OpaquePointer?) -> LineEditor? {
        guard let editor, let owner = natter_edit_owner(editor) else { return nil }
        return Unmanaged<LineEditor>.fromOpaque(owner).takeUnretainedValue()
    }

    // MARK: Lines

    /// The next text, of one line or several, without the newline that ended it; nil when the user ends the input with Ctrl-D.
    public func next() -> String? {
        guard let handle else { return nil }
        var count: Int32 = 0
        resize(handle)
        isEditing = true
        let line = natter_edit_read(handle, &count)
        isEditing = false
        guard let line, count > 0 else { return nil }
        return LineEditor.text(
            UnsafeBufferPointer(start: line, count: Int(count)).dropLast(line[Int(count) - 1] == 0x0A ? 1 : 0))
    }

    /// Lets the user go on with a text in the next line.
    ///
    /// - Returns: false if the next line has begun already, as in pasted text, which would be joined to it.
    public func prefill(_ text: String) -> Bool {
        guard !hasMoreInput() else { return false }
        prefilled = text
        return true
    }

    /// Clears the line that the user has just finished.
    public func clearLast(_ line: String) {
        write(up: rows(LineEditor.scalars(shownPrompt + line)) + 1)
    }

    /// Writes lines above the line that is being typed.
    ///
    /// - Parameter body: writes whole lines to the terminal.
    public func above(_ body: () throws -> Void) rethrows {
        guard let handle, isEditing else { return try body() }
        let (text, cursor) = line(handle)
        let before = LineEditor.scalars(shownPrompt) + text.prefix(cursor)
        write(up: rows(before))
        defer {
            resize(handle)
            natter_edit_refresh(handle)
        }
        try body()
    }

    /// Draws the line again, because the prompt has changed.
    public func redraw() { above {} }

    // MARK: Called by libedit

    private var shownPrompt: String { LineEditor.text(prompt.dropLast()) }

    private func drawPrompt() -> UnsafeMutablePointer<UInt32>? {
        prompt = LineEditor.wide(owner.prompt)
        promptText?.deallocate()
        let copy = UnsafeMutablePointer<UInt32>.allocate(capacity: prompt.count)
        copy.initialize(from: prompt, count: prompt.count)
        promptText = copy
        return copy
    }

    /// - Returns: 1 with a character, 0 at the end, -1 after an error.
    private func readCharacter(into target: UnsafeMutablePointer<UInt32>?) -> Int32 {
        while true {
            if prefilled != nil {
                target?.pointee = UInt32(natter_edit_prefill_key)
                return 1
            }
            if let character = key.popFirst() {
                target?.pointee = UInt32(character)
                return 1
            }
            guard let first = keyByte() else { return 0 }
            if LineEditor.isNewline(first), isText(newline: first) {
                prefilled = "\n"
                continue
            }
            guard first == SpecialKey.escape else { return readCharacter(from: first, into: target) }
            guard let found = specialKey() else { return 0 }
            key = found[...]
        }
    }

    private func readCharacter(from first: UInt8, into target: UnsafeMutablePointer<UInt32>?) -> Int32 {
        var bytes = [first]
        let length = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1
        while bytes.count < length, let byte = keyByte() {
            // On a terminal that does not speak UTF-8, it is a key of its own.
            guard byte & 0xC0 == 0x80 else {
                pushedBack = byte
                break
            }
            bytes.append(byte)
        }
        target?.pointee = String(validating: bytes, as: UTF8.self)?.unicodeScalars.first?.value ?? 0xFFFD
        return 1
    }

    /// Reads the rest of a key that began with Esc. The wait for it is one for a key: what else is waited for goes on.
    ///
    /// - Returns: what libedit gets for the key, which may be nothing; nil at the end of the input.
    private func specialKey() -> [UInt8]? {
        guard let kind = keyByte() else { return nil }
        if LineEditor.isNewline(kind) {
            // Alt-Enter.
            prefilled = "\n"
            return []
        }
        guard kind == SpecialKey.csi || kind == SpecialKey.ss3 else {
            // Alt and a character, which may have several bytes or begin another key.
            pushedBack = kind
            return kind == SpecialKey.escape ? [] : [SpecialKey.escape]
        }
        var key = SpecialKey(kind: kind)
        while let byte = keyByte() {
            switch key.add(byte) {
            case .more: continue
            case .whole: return key.beginsPaste ? paste() : key.bytesForEditor
            case .broken:
                pushedBack = byte
                return []
            }
        }
        return nil
    }

    private static func isNewline(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }

    /// Whether a newline is a part of pasted text, on a terminal that does not mark it: text follows at once, or it ends such a text.
    /// A key such as Ctrl-D behind it was typed in advance.
    private func isText(newline: UInt8) -> Bool {
        guard hasMoreInput(within: LineEditor.burstMilliseconds), let next = keyByte() else { return isPasting }
        pushedBack = next
        isPasting = next == 0x09 || LineEditor.isNewline(next) || next >= 0x20 && next != 0x7F
        return isPasting
    }

    /// Reads pasted text, which goes into the line as a whole. It returns nothing for libedit, or nil at the end of the input.
    private func paste() -> [UInt8]? {
        var bytes: [UInt8] = []
        while !bytes.suffix(SpecialKey.endOfPaste.count).elementsEqual(SpecialKey.endOfPaste) {
            guard let byte = keyByte() else { return nil }
            bytes.append(byte)
        }
        let text = String(decoding: bytes.dropLast(SpecialKey.endOfPaste.count), as: UTF8.self)
            .replacing("\r\n", with: "\n").replacing("\r", with: "\n").unicodeScalars
            .filter { $0 == "\n" || $0 == "\t" || $0.value >= 0x20 && $0.value != 0x7F }
        prefilled = text.isEmpty ? nil : String(text)
        return []
    }

    private func keyByte() -> UInt8? {
        guard let byte = pushedBack else { return nextByte() }
        pushedBack = nil
        return byte
    }

    private func nextByte() -> UInt8? {
        while true {
            let (descriptor, milliseconds) = owner.attention
            var requests = [
                pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let ready = poll(&requests, 2, milliseconds)
            if ready < 0 {
                guard errno == EINTR else { return nil }
                // The window has another size, or the program was stopped and goes on, below what the shell has printed.
                if columns == LineEditor.terminalColumns, let handle { natter_edit_refresh(handle) } else { redraw() }
                continue
            }
            if ready == 0 || requests[1].revents != 0 { owner.attend() }
            guard requests[0].revents != 0 else { continue }
            var byte: UInt8 = 0
            let count = retrying { read(STDIN_FILENO, &byte, 1) }
            if count == 1 {
                let now = MonotonicClock.now()
                if now - lastByte > Int64(LineEditor.burstMilliseconds) { isPasting = false }
                lastByte = now
                return byte
            }
            guard count < 0, errno == EAGAIN else { return nil }
        }
    }

    private func hasMoreInput(within milliseconds: Int32 = 0) -> Bool {
        var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        return pushedBack != nil || poll(&request, 1, milliseconds) == 1
    }

    private func complete() -> UInt8 {
        guard let handle else { return UInt8(natter_edit_beep) }
        // Nobody who wants a name types on before it is there. This is pasted text.
        if hasMoreInput() {
            natter_edit_insert(handle, [0x09, 0])
            return UInt8(natter_edit_redraw)
        }
        let (text, cursor) = line(handle)
        let word = text.prefix(cursor).suffix(where: { $0 != 0x20 && $0 != 0x0A })
        let found = owner.completions(of: LineEditor.text(word))
        guard let first = found.first else { return UInt8(natter_edit_beep) }
        let common = found.count == 1 ? first + " " : found.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
        if LineEditor.scalars(common).count > word.count {
            el_deletestr(handle, Int32(clamping: word.count))
            natter_edit_insert(handle, LineEditor.wide(common))
        } else {
            above { writeAll(Array((found.joined(separator: "  ") + "\n").utf8)) }
        }
        return UInt8(natter_edit_redraw)
    }

    private func recall() -> UInt8 {
        guard let handle, line(handle).text.isEmpty, let text = owner.recall() else {
            return UInt8(natter_edit_beep)
        }
        natter_edit_insert(handle, LineEditor.wide(text))
        return UInt8(natter_edit_redraw)
    }

    private func insertPrefilled() -> UInt8 {
        guard let handle, let text = prefilled else { return UInt8(natter_edit_beep) }
        prefilled = nil
        natter_edit_insert(handle, LineEditor.wide(text))
        return UInt8(natter_edit_redraw)
    }

    private func forget() -> UInt8 {
        guard let handle, owner.forget() else { return UInt8(natter_edit_beep) }
        let (text, cursor) = line(handle)
        el_cursor(handle, Int32(clamping: text.count - cursor))
        el_deletestr(handle, Int32(clamping: text.count))
        return UInt8(natter_edit_redraw)
    }

    // MARK: The screen

    private func line(_ handle: OpaquePointer) -> (text: [UInt32], cursor: Int) {
        var (cursor, count) = (0, 0)
        guard let start = natter_edit_line(handle, &cursor, &count), count > 0 else { return ([], 0) }
        return (Array(UnsafeBufferPointer(start: start, count: count)), cursor)
    }

    /// Goes up some lines and clears everything from there.
    private func write(up lines: Int) {
        writeAll(Array(((lines > 0 ? "\u{1B}[\(lines)A" : "") + "\r\u{1B}[J").utf8))
    }

    private func writeAll(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                retrying { Glibc.write(STDOUT_FILENO, bytes.baseAddress, bytes.count) }
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// Makes libedit draw for the width that the terminal has now.
    private func resize(_ handle: OpaquePointer) {
        guard columns != LineEditor.terminalColumns else { return }
        columns = LineEditor.terminalColumns
        el_resize(handle)
    }

    private static var terminalColumns: Int {
        var size = winsize()
        return ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    /// How many rows below the prompt's first one the cursor stands behind these characters, as libedit places them.
    private func rows(_ scalars: [UInt32]) -> Int {
        var (row, column) = (0, 0)
        func put(_ width: Int) {
            // A wide character does not begin in the last column.
            if column + width > columns { (row, column) = (row + 1, 0) }
            column += width
            if column >= columns { (row, column) = (row + 1, 0) }
        }
        for scalar in scalars {
            switch scalar {
            case 0x0A: (row, column) = (row + 1, 0)
            case 0x09: repeat { put(1) } while column % 8 != 0
            // As ^X.
            case ..<0x20, 0x7F..<0xA0: for _ in 0..<2 { put(1) }
            default:
                let width = Int(natter_edit_width(scalar))
                // As \U+FFFF or \U+1FFFF.
                if width < 0 { for _ in 0..<(scalar > 0xFFFF ? 8 : 7) { put(1) } } else { put(width) }
            }
        }
        return row
    }

    private static func scalars(_ text: String) -> [UInt32] { text.unicodeScalars.map(\.value) }
    private static func wide(_ text: String) -> [UInt32] { scalars(text) + [0] }

    private static func text(_ scalars: some Sequence<UInt32>) -> String {
        var view = String.UnicodeScalarView()
        for value in scalars { view.append(Unicode.Scalar(value) ?? "\u{FFFD}") }
        return String(view)
    }
}

extension Sequence where Element == UInt32 {
    /// The elements at the end for which a condition holds.
    fileprivate func suffix(where condition: (UInt32) -> Bool) -> [UInt32] {
        var found: [UInt32] = []
        for element in self { if condition(element) { found.append(element) } else { found = [] } }
        return found
    }
}

extension String {
    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}

extension LineEditor {
    /// The libraries with their versions, for `--version`.
    public static var libraries: [String] {
        [
            "libedit" + version(natter_edit_description),
            // "ncurses 6.4.20221231"
            String(cString: curses_version()),
            "libbsd" + version(natter_bsd_description), "libmd" + version(natter_md_description),
        ]
    }

    /// The version in a file for pkg-config, with a space before it; empty if the build did not find the file.
    private static func version(_ description: UnsafePointer<CChar>) -> String {
        guard let line = strstr(description, "\nVersion:") else { return "" }
        let text = line + "\nVersion:".utf8.count
        return String(decoding: UnsafeRawBufferPointer(start: text, count: strcspn(text, "\n")), as: UTF8.self)
    }
}

public import NatterModel

/// An invalid setting or line: exit code 78.
public struct ConfigError: FailureConvertible, Equatable {
    public let path: String
    /// The line number, counted from 1.
    public let line: Int
    public let problem: Phrase
    public let remedy: Phrase?

    public init(path: String, line: Int, problem: Phrase, remedy: Phrase? = nil) {
        (self.path, self.line, self.problem, self.remedy) = (path, line, problem, remedy)
    }

    public var failure: CommandFailure {
        CommandFailure(
            .configuration, code: "bad_configuration", "'\(path)', line \(line): \(problem)", remedy: remedy)
    }
}

/// A settings file with one `key = value` per line. Blank lines are ignored, and so is what follows a `#` at the beginning of
/// a line or behind white space. A value in double quotes may contain that.
public struct ConfigFile: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public let key: String
        public let value: String
        /// The line number, counted from 1.
        public let line: Int
    }

    /// The name of the file in messages.
    public let path: String
    /// The entries in the order of the file, including repeated keys.
    public let entries: [Entry]

    /// - Parameters:
    ///   - keys: the known keys, or nil if the caller checks the keys of the entries.
    ///   - skipsMalformed: whether malformed lines are passed over.
    /// - Throws: for a malformed line, or for an unknown key, with the most similar keys.
    public init(
        parsing text: String, path: String, keys: [String]? = nil, skipsMalformed: Bool = false
    ) throws(ConfigError) {
        var entries: [Entry] = []
        for (index, line) in Self.lines(of: text).enumerated() {
            let content = line.withoutBlanks
            if content.isEmpty || content.hasPrefix("#") { continue }
            guard let equals = content.firstIndex(of: "="), equals != content.startIndex else {
                if skipsMalformed { continue }
                throw ConfigError(path: path, line: index + 1, problem: "not of the form 'key = value'")
            }
            let key = content[..<equals].withoutBlanks
            let value = Self.split(content[content.index(after: equals)...].withoutBlanks).value
            entries.append(Entry(key: String(key), value: String(value), line: index + 1))
        }
        (self.path, self.entries) = (path, entries)
        if let keys, let entry = entries.first(where: { !keys.contains($0.key) }) {
            throw unknownKey(entry, known: keys)
        }
    }

    private init(path: String, entries: [Entry]) { (self.path, self.entries) = (path, entries) }

    /// The file as if it had only this entry.
    public func only(_ entry: Entry) -> ConfigFile { ConfigFile(path: path, entries: [entry]) }

    public func value(_ key: String) -> String? { entries.last { $0.key == key }?.value }

    /// `true`, `yes`, `on`, `1` and their opposites.
    public func boolean(_ entry: Entry) throws(ConfigError) -> Bool {
        switch entry.value.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default: throw error(entry, "'\(entry.key)' takes true or false, not '\(entry.value)'")
        }
    }

    public func error(_ entry: Entry, _ problem: Phrase, remedy: Phrase? = nil) -> ConfigError {
        ConfigError(path: path, line: entry.line, problem: problem, remedy: remedy)
    }

    public func unknownKey(_ entry: Entry, known: [String]) -> ConfigError {
        error(
            entry, "'\(entry.key)' is not a setting", remedy: NearestWords.remedy(for: entry.key, among: known))
    }

    /// Returns the text of a file with one setting changed in place, or added as a new last line. Comments and order
    /// are kept. A nil value removes the setting.
    ///
    /// - Parameters:
    ///   - key: contains no `=` or line break, and no `#` or blanks around it.
    ///   - value: one line, without blanks around it.
    public static func text(_ text: String, setting key: String, to value: String?) -> String {
        precondition(!key.isEmpty && !key.contains { $0 == "=" || $0.isNewline } && !key.hasPrefix("#"))
        precondition(value?.utf8.contains { $0 == 0x0A || $0 == 0x0D } != true)
        var lines = lines(of: text)
        if lines.last?.isEmpty == true { lines.removeLast() }
        let found = lines.indices.filter { index in
            let content = lines[index].withoutBlanks
            guard !content.hasPrefix("#"), let equals = content.firstIndex(of: "=") else { return false }
            return content[..<equals].withoutBlanks == key
        }
        // The last of several entries counts. The others would only confuse readers.
        for index in found.dropLast().reversed() { lines.remove(at: index) }
        let place = found.last.map { $0 - (found.count - 1) }
        switch (place, value.map(written)) {
        case (let place?, let value?):
            let old = lines[place].drop { $0 != "=" }.dropFirst().withoutBlanks
            lines[place] = "\(key) = \(value) \(split(old).comment)"[...].withoutBlanks
        case (let place?, nil): lines.remove(at: place)
        case (nil, let value?): lines.append("\(key) = \(value)")
        case (nil, nil): break
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// Whether a value can be written so that it is read as it is.
    public static func canHold(_ value: String) -> Bool { split(written(value)[...]).value == value }

    private static func written(_ value: String) -> String {
        split(value[...]).value == value ? value : "\"\(value)\""
    }

    /// A value without quotes, and the comment behind it.
    private static func split(_ text: Substring) -> (value: Substring, comment: Substring) {
        if text.hasPrefix("\""), let end = text.dropFirst().firstIndex(of: "\"") {
            let rest = text[end...].dropFirst().withoutBlanks
            if rest.isEmpty || rest.hasPrefix("#") { return (text[..<end].dropFirst(), rest) }
        }
        var isBehindBlank = true
        let start = text.firstIndex { character in
            defer { isBehindBlank = character == " " || character == "\t" }
            return character == "#" && isBehindBlank
        }
        return (text[..<(start ?? text.endIndex)].withoutBlanks, text[(start ?? text.endIndex)...])
    }

    private static func lines(of text: String) -> [Substring] {
        text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    }
}

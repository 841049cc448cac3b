/// Matches names by a part of them, or by a glob for the whole name, ignoring case. Names may contain brackets, such as
/// `[gnubie]`, so a glob also matches as plain text.
public struct NamePattern: Sendable {
    private enum Element: Sendable {
        case one(Character)
        case anyOne
        case anyRun
        case oneOf([ClosedRange<Character>], isNegated: Bool)
    }

    /// The parsed glob, or nil if the text has no special characters.
    private let glob: [Element]?
    private let text: [Character]
    /// UTF-8 that is in the case key of every name that matches. Without a glob, a name with it matches.
    public let part: [UInt8]

    public init(_ text: String) {
        self.text = NamePattern.characters(of: text)
        glob = text.utf8.contains { "*?[".utf8.contains($0) } ? NamePattern.parse(self.text) : nil
        part = Array((glob.map(NamePattern.longestText) ?? String(self.text)).utf8)
    }

    /// Whether the text has characters of a glob. Then names with `part` need not match.
    public var isGlob: Bool { glob != nil }

    public func matches(_ name: String) -> Bool { matches(key: NameRule.caseKey(name)) }

    /// Whether a name matches, given as its case key.
    public func matches(key: String) -> Bool {
        let name = Array(key)
        if let glob, NamePattern.matches(name, glob) { return true }
        guard text.count <= name.count else { return false }
        return (0...(name.count - text.count)).contains { name[$0...].starts(with: text) }
    }

    /// The longest text between the special characters.
    private static func longestText(_ glob: [Element]) -> String {
        var (longest, current) = ("", "")
        for element in glob {
            if case .one(let character) = element { current.append(character) } else { current = "" }
            if current.utf8.count > longest.utf8.count { longest = current }
        }
        return longest
    }

    private static func characters(of text: String) -> [Character] { Array(NameRule.caseKey(text)) }

    private static func parse(_ pattern: [Character]) -> [Element] {
        var elements: [Element] = []
        var rest = pattern[...]
        while let character = rest.popFirst() {
            switch character {
            case "*": elements.append(.anyRun)
            case "?": elements.append(.anyOne)
            case "[": elements.append(set(&rest) ?? .one("["))
            default: elements.append(.one(character))
            }
        }
        return elements
    }

    /// Parses the content of brackets. If they are not closed, it returns nil and consumes nothing. As in glob(7), a
    /// leading `]` stands for itself and `!` negates.
    private static func set(_ rest: inout ArraySlice<Character>) -> Element? {
        var inner = rest
        let isNegated = inner.first == "!" || inner.first == "^"
        if isNegated { inner = inner.dropFirst() }
        var ranges: [ClosedRange<Character>] = []
        while let lower = inner.popFirst() {
            if lower == "]", !ranges.isEmpty {
                rest = inner
                return .oneOf(ranges, isNegated: isNegated)
            }
            let upper = inner.dropFirst().first
            if inner.first == "-", let upper, upper != "]" {
                inner = inner.dropFirst(2)
                ranges.append(min(lower, upper)...max(lower, upper))
            } else {
                ranges.append(lower...lower)
            }
        }
        return nil
    }

    /// Matches a glob. It backtracks only to the latest `*`, so the time is at most the product of both lengths.
    private static func matches(_ name: [Character], _ glob: [Element]) -> Bool {
        var (place, index) = (0, 0)
        var retry: (place: Int, index: Int)?
        while place < name.count {
            if index < glob.count, case .anyRun = glob[index] {
                index += 1
                retry = (place, index)
            } else if index < glob.count, accepts(glob[index], name[place]) {
                (place, index) = (place + 1, index + 1)
            } else if let last = retry {
                retry = (last.place + 1, last.index)
                (place, index) = (last.place + 1, last.index)
            } else {
                return false
            }
        }
        return glob[index...].allSatisfy { if case .anyRun = $0 { true } else { false } }
    }

    private static func accepts(_ element: Element, _ character: Character) -> Bool {
        switch element {
        case .one(let wanted): character == wanted
        case .anyOne, .anyRun: true
        case .oneOf(let ranges, let isNegated): ranges.contains { $0.contains(character) } != isNegated
        }
    }
}

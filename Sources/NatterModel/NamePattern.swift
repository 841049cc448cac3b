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
    private let part: [Character]
    private let partBytes: [UInt8]

    public init(_ text: String) {
        part = NamePattern.characters(of: text)
        partBytes = Array(NameRule.caseKey(text).utf8)
        glob = text.utf8.contains { "*?[".utf8.contains($0) } ? NamePattern.parse(part) : nil
    }

    /// Whether the text has characters of a glob. Then matching takes longer.
    public var isGlob: Bool { glob != nil }

    /// Whether a name matches, given as its case key. The texts must be in normalization form C. This is many times
    /// faster than `matches(_:)`.
    public func matches(key: String) -> Bool {
        if let glob, NamePattern.matches(Array(key), glob) { return true }
        guard let first = partBytes.first else { return true }
        var key = key
        return key.withUTF8 { key in
            guard key.count >= partBytes.count else { return false }
            for start in 0...(key.count - partBytes.count) where key[start] == first {
                if key[start...].starts(with: partBytes) { return true }
            }
            return false
        }
    }

    public func matches(_ name: String) -> Bool {
        let name = NamePattern.characters(of: name)
        if let glob, NamePattern.matches(name, glob) { return true }
        guard part.count <= name.count else { return false }
        return (0...(name.count - part.count)).contains { name[$0...].starts(with: part) }
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

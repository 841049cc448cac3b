internal import NatterCommandLine

/// The pattern of `--format`, such as `%t %s: %m`.
struct MessageFormat {
    enum Field: Character {
        /// RFC 3339, UTC.
        case time = "t"
        case unixMilliseconds = "u"
        case conversation = "c"
        case seq = "n"
        case sender = "s"
        case text = "m"
        case kind = "k"
        /// The number of the message that it is about, or nothing.
        case about = "a"
        /// The names of its files, separated by commas and blanks.
        case files = "f"
    }

    enum Part {
        case literal([UInt8])
        case field(Field)
    }

    let parts: [Part]

    /// - Throws: the reason. The error message prints it after the pattern.
    init(_ pattern: String) throws(Malformed) {
        var parts: [Part] = []
        var literal: [UInt8] = []
        var rest = Substring(pattern)
        func followed(_ sign: Character) throws(Malformed) -> Character {
            guard let next = rest.popFirst() else { throw Malformed(reason: "ends with '\(sign)'") }
            return next
        }
        while let character = rest.popFirst() {
            switch character {
            case "%":
                let letter = try followed("%")
                if letter == "%" {
                    literal.append(UInt8(ascii: "%"))
                } else if let field = Field(rawValue: letter) {
                    if !literal.isEmpty { parts.append(.literal(literal)) }
                    literal = []
                    parts.append(.field(field))
                } else {
                    throw Malformed(reason: "has an unknown '%\(letter)'; there are %t %u %c %n %s %m %k %a %f and %%")
                }
            case "\\":
                switch try followed("\\") {
                case "n": literal.append(UInt8(ascii: "\n"))
                case "t": literal.append(UInt8(ascii: "\t"))
                case "\\": literal.append(UInt8(ascii: "\\"))
                case let letter: throw Malformed(reason: "has an unknown '\\\(letter)'; there are \\n, \\t and \\\\")
                }
            default: literal.append(contentsOf: character.utf8)
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        self.parts = parts
    }

    struct Malformed: Error { let reason: Phrase }
}

internal import NatterSystem

/// When to use colours.
public enum ColorChoice: String, Sendable, CaseIterable {
    case auto, always, never

    /// True if colours should be used. `auto` uses them on a terminal that is not `TERM=dumb`, unless `NO_COLOR` is
    /// set.
    ///
    /// - SeeAlso: no-color.org.
    public func isOn(isTerminal: Bool, environment: Environment) -> Bool {
        switch self {
        case .always: true
        case .never: false
        case .auto:
            isTerminal && environment["NO_COLOR"] == nil && environment["TERM"].map { $0 != "dumb" } == true
        }
    }
}

/// Colours text, or leaves it unchanged.
public struct Paint: Sendable {
    /// The styles that we use, as parameters of SGR (ECMA-48, 8.3.117).
    public enum Look: String, Sendable {
        case bold = "1"
        case dim = "2"
        case underlined = "4"
        case green = "32"
        case yellow = "33"
        case blue = "34"
        case magenta = "35"
        case cyan = "36"
        case brightGreen = "92"
        case brightYellow = "93"
        case brightBlue = "94"
        case brightMagenta = "95"
        case brightCyan = "96"
        case match = "1;31"
    }

    /// Colours for names. Red is reserved for matches and errors.
    private static let nameLooks: [Look] = [
        .green, .yellow, .blue, .magenta, .cyan, .brightGreen, .brightYellow, .brightBlue, .brightMagenta, .brightCyan,
    ]

    /// The colour of a name, always the same for one name.
    ///
    /// - Parameter name: UTF-8.
    public static func look(ofName name: [UInt8]) -> Look {
        nameLooks[Int(Checksum.crc32c(name) % UInt32(nameLooks.count))]
    }

    public let isOn: Bool

    public init(isOn: Bool) { self.isOn = isOn }

    public func callAsFunction(_ look: Look, _ text: String) -> String {
        isOn ? "\u{1B}[\(look.rawValue)m\(text)\u{1B}[m" : text
    }

    /// The bytes before and after coloured text. They are empty if colours are off.
    public func opening(_ look: Look) -> [UInt8] { isOn ? Array("\u{1B}[\(look.rawValue)m".utf8) : [] }
    public var closing: [UInt8] { isOn ? Array("\u{1B}[m".utf8) : [] }
}

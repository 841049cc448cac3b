/// A key for which a terminal sends Esc, `[` or `O`, perhaps parameters, and a final character.
///
/// libedit takes such a sequence only as far as it has a command for it, and the rest for text. So it gets those that it knows,
/// and no others.
struct SpecialKey {
    /// The state of a sequence after one more byte.
    enum Progress { case more, whole, broken }

    static let escape: UInt8 = 0x1B
    static let (csi, ss3) = (UInt8(ascii: "["), UInt8(ascii: "O"))
    /// No key has more. A longer sequence ends like any other, but nothing comes of it.
    private static let longest = 16

    private let kind: UInt8
    private var parameters: [UInt8] = []
    private var final: UInt8 = 0

    init(kind: UInt8) { self.kind = kind }

    mutating func add(_ byte: UInt8) -> Progress {
        switch byte {
        // The Linux console sends Esc [ [ A for F1.
        case SpecialKey.csi where kind == SpecialKey.csi && parameters.isEmpty: break
        case 0x40...0x7E:
            final = byte
            return .whole
        case 0x20...0x3F where kind == SpecialKey.csi, UInt8(ascii: "0")...UInt8(ascii: "9"): break
        default: return .broken
        }
        if parameters.count < SpecialKey.longest { parameters.append(byte) }
        return .more
    }

    /// Whether pasted text follows, up to `endOfPaste`.
    var beginsPaste: Bool { kind == SpecialKey.csi && text == "200~" }
    static let endOfPaste = Array("\u{1B}[201~".utf8)

    private var text: String { String(decoding: parameters + [final], as: UTF8.self) }

    var bytesForEditor: [UInt8] {
        let end = text
        return switch end {
        // Arrows, Home, End and Delete.
        case "A", "B", "C", "D", "F", "H", "3~": [SpecialKey.escape, kind] + end.utf8
        case "1~", "7~": [SpecialKey.escape, SpecialKey.csi, UInt8(ascii: "H")]
        case "4~", "8~": [SpecialKey.escape, SpecialKey.csi, UInt8(ascii: "F")]
        // Ctrl or Alt with Right and Left, as Alt-F and Alt-B: to the next and the former word.
        case "1;3C", "1;5C", "3C", "5C", "c": [SpecialKey.escape, UInt8(ascii: "f")]
        case "1;3D", "1;5D", "3D", "5D", "d": [SpecialKey.escape, UInt8(ascii: "b")]
        default: []
        }
    }
}

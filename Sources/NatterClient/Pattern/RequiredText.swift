/// The text that each match of a regular expression contains.
enum RequiredText {
    /// A shorter one is in nearly every block.
    private static let leastBytes = 3

    /// The longest piece of ASCII that each match contains, whatever the case of its letters; nil if none is certain.
    ///
    /// Only what is plainly a sequence of characters counts: what this does not know gives nil. Without regard to case, `k`
    /// and `s` also match letters that are not ASCII, so they end a piece.
    static func find(in regex: String) -> String? {
        var pieces: [[UInt8]] = [[]]
        var depth = 0
        let bytes = Array(regex.utf8)
        var index = 0
        func at(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "("):
                // Among '(*' and '(?…', only '(?:' has no other meaning than a group.
                if at(index) == UInt8(ascii: "*") { return nil }
                if at(index) == UInt8(ascii: "?") {
                    guard at(index + 1) == UInt8(ascii: ":") else { return nil }
                    index += 2
                }
                depth += 1
                pieces.append([])
            case UInt8(ascii: ")"):
                depth -= 1
                pieces.append([])
            case UInt8(ascii: "|"):
                if depth == 0 { return nil }
            case UInt8(ascii: "["):
                guard let end = endOfSimpleClass(bytes, index) else { return nil }
                index = end
                pieces.append([])
            case UInt8(ascii: "\\"):
                // A class or the edge of a word. Other escapes may take more characters.
                guard "bBdDsSwW.".utf8.contains(at(index)) else { return nil }
                index += 1
                pieces.append([])
            case UInt8(ascii: "?"), UInt8(ascii: "*"), UInt8(ascii: "{"):
                // The character before may be absent.
                pieces[pieces.count - 1] = pieces[pieces.count - 1].dropLast()
                if byte == UInt8(ascii: "{") {
                    guard let end = bytes[index...].firstIndex(of: UInt8(ascii: "}")) else { return nil }
                    index = end + 1
                }
                pieces.append([])
            case UInt8(ascii: "k"), UInt8(ascii: "K"), UInt8(ascii: "s"), UInt8(ascii: "S"), UInt8(ascii: "."),
                UInt8(ascii: "^"), UInt8(ascii: "$"), UInt8(ascii: "+"), 0x80...:
                pieces.append([])
            default:
                if depth == 0 { pieces[pieces.count - 1].append(byte) }
            }
        }
        let longest = pieces.max { $0.count < $1.count } ?? []
        return longest.count < leastBytes ? nil : String(decoding: longest, as: UTF8.self)
    }

    /// The index behind a class that consists of plain characters and ranges; nil for others.
    static func endOfSimpleClass(_ bytes: [UInt8], _ start: Int) -> Int? {
        var index = start
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "]"): return index > start ? index + 1 : nil
            case UInt8(ascii: "["), UInt8(ascii: "\\"): return nil
            case UInt8(ascii: "^")
            where index == start && index + 1 < bytes.count && bytes[index + 1] == UInt8(ascii: "]"):
                return nil
            default: index += 1
            }
        }
        return nil
    }
}

/// The texts before and behind a text.
enum Surroundings {
    /// Whether a regular expression that matches at a place of a text matches there, too, if other texts stand before and behind
    /// it, perhaps more of them. So joined texts can be searched at once.
    ///
    /// It must not look at what surrounds a match (`^`, `\b`, `(?=`), and it must be free to match less than it could: with
    /// `(?:abc|a)++b` the text `ab` has a match, but before a `c` it has none. An unknown expression gives false.
    static func areIgnored(by regex: String) -> Bool {
        let bytes = Array(regex.utf8)
        var index = 0
        var isAfterQuantifier = false
        func at(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            var isQuantifier = false
            switch byte {
            case UInt8(ascii: "("):
                // Among '(*' and '(?…', only '(?:' has no other meaning than a group.
                if at(index) == UInt8(ascii: "*") { return false }
                if at(index) == UInt8(ascii: "?") {
                    guard at(index + 1) == UInt8(ascii: ":") else { return false }
                    index += 2
                }
            case UInt8(ascii: "["):
                guard let end = RequiredText.endOfSimpleClass(bytes, index) else { return false }
                index = end
            case UInt8(ascii: "\\"):
                guard "dDsSwW.?*+|()[]{}".utf8.contains(at(index)) else { return false }
                index += 1
            case UInt8(ascii: "^"), UInt8(ascii: "$"): return false
            case UInt8(ascii: "+") where isAfterQuantifier: return false
            case UInt8(ascii: "?"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "}"): isQuantifier = true
            default: break
            }
            isAfterQuantifier = isQuantifier
        }
        return true
    }
}

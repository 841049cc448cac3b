internal import NatterModel

/// The content types of the API.
public enum MediaType {
    public static let json = "application/json; charset=utf-8"
    public static let ndjson = "application/x-ndjson; charset=utf-8"
    public static let text = "text/plain; charset=utf-8"

    public static func isJSON(_ header: String) -> Bool { names(header.utf8[...], "application/json") }
    public static func isNDJSON(_ header: String) -> Bool { names(header.utf8[...], "application/x-ndjson") }

    public static func isText(_ header: String) -> Bool { names(header.utf8[...], "text/plain") }
    public static func isForm(_ header: String) -> Bool {
        names(header.utf8[...], "application/x-www-form-urlencoded")
    }

    /// True if a header names this type, ignoring its parameters and case. It compares bytes because it runs for every
    /// request.
    private static func names(_ header: Substring.UTF8View, _ type: String) -> Bool {
        var rest = type.utf8[...]
        for byte in header {
            if byte == UInt8(ascii: ";") { break }
            if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { continue }
            guard rest.popFirst() == byte.asciiLowercased else { return false }
        }
        return rest.isEmpty
    }

    /// True if an Accept or Accept-Encoding header names this type or coding. Of the quality values only 0 counts, which means
    /// "not acceptable", because the API offers two types at most.
    public static func accepts(_ header: String?, _ type: String) -> Bool {
        guard let header else { return false }
        return header.utf8.split(separator: UInt8(ascii: ",")).contains { names($0, type) && !isRefused($0) }
    }

    /// Whether an item ends in `;q=0`, `; Q=0.000` or the like.
    private static func isRefused(_ item: Substring.UTF8View) -> Bool {
        item.split(separator: UInt8(ascii: ";")).dropFirst().contains { part in
            let part = part.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }.map(\.asciiLowercased)
            return part.starts(with: "q=0".utf8) && part.dropFirst(3).allSatisfy { ".0".utf8.contains($0) }
        }
    }
}

/// The header of the answer to a personal message. It says whether the recipient is online.
public enum RecipientHeader {
    public static let name = "Natter-Recipient"
    public static let online = "online"
    public static let offline = "offline"
}

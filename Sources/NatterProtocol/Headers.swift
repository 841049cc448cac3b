internal import NatterModel

/// The content types of the API.
public enum MediaType {
    public static let json = "application/json; charset=utf-8"
    public static let ndjson = "application/x-ndjson; charset=utf-8"
    public static let text = "text/plain; charset=utf-8"

    public static func isJSON(_ header: String) -> Bool { names(header.utf8.span, "application/json") }
    public static func isNDJSON(_ header: String) -> Bool { names(header.utf8.span, "application/x-ndjson") }

    public static func isText(_ header: String) -> Bool { names(header.utf8.span, "text/plain") }
    public static func isForm(_ header: String) -> Bool {
        names(header.utf8.span, "application/x-www-form-urlencoded")
    }

    /// True if a header names this type, ignoring its parameters and case. It compares bytes because it runs for every
    /// request.
    private static func names(_ header: Span<UInt8>, _ type: String) -> Bool {
        let type = type.utf8.span
        var matched = 0
        for index in header.indices {
            let byte = header[index]
            if byte == UInt8(ascii: ";") { break }
            if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { continue }
            guard matched < type.count, type[matched] == byte.asciiLowercased else { return false }
            matched += 1
        }
        return matched == type.count
    }

    /// True if an Accept or Accept-Encoding header names this type or coding. Among the quality values only 0 counts, which
    /// means "not acceptable", because the API offers two types at most.
    public static func accepts(_ header: String?, _ type: String) -> Bool {
        guard let header else { return false }
        return header.utf8.split(separator: UInt8(ascii: ",")).contains { names($0.span, type) && !isRefused($0) }
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

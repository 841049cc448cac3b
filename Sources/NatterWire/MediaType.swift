/// The content types of the API.
public enum MediaType {
    public static let json = "application/json; charset=utf-8"
    public static let ndjson = "application/x-ndjson; charset=utf-8"
    public static let text = "text/plain; charset=utf-8"

    public static func isJSON(_ header: String) -> Bool { names(header.utf8[...], "application/json") }
    public static func isNDJSON(_ header: String) -> Bool { names(header.utf8[...], "application/x-ndjson") }

    /// Whether a header is of this type, whatever its parameters and its case. Asked of every request, so it goes by bytes.
    private static func names(_ header: Substring.UTF8View, _ type: String) -> Bool {
        var rest = type.utf8[...]
        for byte in header {
            if byte == UInt8(ascii: ";") { break }
            if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { continue }
            let isCapital = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            guard rest.popFirst() == (isCapital ? byte | 0x20 : byte) else { return false }
        }
        return rest.isEmpty
    }

    /// Whether an Accept header names this type; what it says of quality is not weighed, for we offer few.
    public static func accepts(_ header: String?, _ type: String) -> Bool {
        guard let header else { return false }
        return header.utf8.split(separator: UInt8(ascii: ",")).contains { names($0, type) }
    }
}

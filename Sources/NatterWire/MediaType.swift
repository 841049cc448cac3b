/// The content types of the API.
public enum MediaType {
    public static let json = "application/json; charset=utf-8"
    public static let ndjson = "application/x-ndjson; charset=utf-8"
    public static let text = "text/plain; charset=utf-8"

    /// A content type without its parameters, in lower case.
    public static func essence(_ header: String) -> String {
        let end = header.firstIndex(of: ";") ?? header.endIndex
        return header[..<end].filter { $0 != " " && $0 != "\t" }.lowercased()
    }

    public static func isJSON(_ header: String) -> Bool { essence(header) == "application/json" }
    public static func isNDJSON(_ header: String) -> Bool { essence(header) == "application/x-ndjson" }

    /// Whether an Accept header names this type; what it says of quality is not weighed, for we offer few.
    public static func accepts(_ header: String?, _ type: String) -> Bool {
        guard let header else { return false }
        return header.split(separator: ",").contains { essence(String($0)) == type }
    }
}

internal import Glibc

/// A request's target as libmicrohttpd holds it, before it takes it apart in place.
struct RawTarget {
    let text: String
    /// As in ``RequestHead/path`` and ``RequestHead/query``.
    let path: [String]?
    let query: [(name: String, value: String)]?
    /// Where the library has it, and its bytes there.
    let address: Int
    let count: Int
    /// Whether it begins with a slash and has no spaces or control characters.
    let isPlain: Bool

    /// That of no request.
    init() { (text, path, query, address, count, isPlain) = ("", nil, nil, 0, 0, false) }

    init(_ pointer: UnsafePointer<CChar>) {
        let bytes = UnsafeRawBufferPointer(start: pointer, count: strlen(pointer))
        text = String(decoding: bytes, as: UTF8.self)
        address = Int(bitPattern: pointer)
        count = bytes.count
        isPlain = bytes.first == UInt8(ascii: "/") && bytes.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        path = isPlain ? RequestTarget.path(of: bytes) : nil
        query = isPlain ? RequestTarget.query(of: bytes) : nil
    }
}

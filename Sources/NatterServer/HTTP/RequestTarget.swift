internal import Glibc
internal import NatterModel

/// The target of a request, read while libmicrohttpd still holds it in one piece. Percent-decoding happens once, here,
/// because decoding twice would give two names the same meaning.
struct RequestTarget {
    /// As in ``RequestHead/target``.
    let text: String
    /// As in ``RequestHead/path`` and ``RequestHead/query``.
    let path: [String]?
    let query: [(name: String, value: String)]?
    /// The address in libmicrohttpd's buffer, and the length in bytes.
    private(set) var address: Int
    let count: Int
    /// The host and the port of a target in absolute form, `http://HOST:PORT/PATH`, which clients of a proxy send.
    let authority: String?
    /// True if it has one of both forms, and no spaces or control characters.
    let isPlain: Bool
    /// True if it is that of the request before.
    private(set) var isRepeated = false

    /// An empty target, for a connection without a request.
    init() { (text, path, query, authority, address, count, isPlain) = ("", nil, nil, nil, 0, 0, false) }

    init(_ pointer: UnsafePointer<CChar>) {
        let bytes = UnsafeRawBufferPointer(start: pointer, count: strlen(pointer))
        address = Int(bitPattern: pointer)
        count = bytes.count
        let place = RequestTarget.authority(of: bytes)
        authority = place.map { String(decoding: bytes[$0], as: UTF8.self) }
        isPlain =
            (place != nil || bytes.first == RequestTarget.slash) && bytes.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        let origin = UnsafeRawBufferPointer(rebasing: bytes[(place?.upperBound ?? 0)...])
        text =
            (place != nil && origin.first != RequestTarget.slash ? "/" : "") + String(decoding: origin, as: UTF8.self)
        path = isPlain ? RequestTarget.path(of: origin) : nil
        query = isPlain ? RequestTarget.query(of: origin) : nil
    }

    /// This target for a request that has the same at another address; nil if it has another one, or one in absolute form.
    func again(_ pointer: UnsafePointer<CChar>) -> RequestTarget? {
        guard authority == nil, text.withCString({ strcmp(pointer, $0) }) == 0 else { return nil }
        var same = self
        (same.address, same.isRepeated) = (Int(bitPattern: pointer), true)
        return same
    }

    /// Where the authority of a target in absolute form is.
    private static func authority(of target: UnsafeRawBufferPointer) -> Range<Int>? {
        if target.first == slash { return nil }
        for scheme in ["http://", "https://"] {
            let start = scheme.utf8.count
            guard target.prefix(start).lazy.map(\.asciiLowercased).elementsEqual(scheme.utf8) else { continue }
            let end = target[start...].firstIndex { $0 == slash || $0 == question } ?? target.count
            return start < end && target[start..<end].allSatisfy(HeadParser.isHost) ? start..<end : nil
        }
        return nil
    }

    private static let slash = UInt8(ascii: "/")
    private static let question = UInt8(ascii: "?")

    /// - Parameter target: begins with a slash, or with the question mark of a query, or is empty.
    private static func path(of target: UnsafeRawBufferPointer) -> [String]? {
        var segments: [String] = []
        var start = 1
        let end = target.firstIndex(of: question) ?? target.count
        guard start < end else { return segments }
        while true {
            var stop = start
            while stop < end, target[stop] != slash { stop += 1 }
            guard
                let segment = decode(UnsafeRawBufferPointer(rebasing: target[start..<stop]), isQuery: false),
                !segment.utf8.contains(where: { $0 == slash || $0 == 0 })
            else { return nil }
            segments.append(segment)
            guard stop < end else { return segments }
            start = stop + 1
        }
    }

    /// Parses the query. A name without `=` has an empty value.
    private static func query(of target: UnsafeRawBufferPointer) -> [(name: String, value: String)]? {
        guard let mark = target.firstIndex(of: question) else { return [] }
        var pairs: [(name: String, value: String)] = []
        var start = mark + 1
        while start < target.count {
            var stop = start
            var equals: Int?
            while stop < target.count, target[stop] != UInt8(ascii: "&") {
                if equals == nil, target[stop] == UInt8(ascii: "=") { equals = stop }
                stop += 1
            }
            let nameEnd = equals ?? stop
            let valueStart = equals.map { $0 + 1 } ?? stop
            guard
                let name = decode(UnsafeRawBufferPointer(rebasing: target[start..<nameEnd]), isQuery: true),
                let value = decode(UnsafeRawBufferPointer(rebasing: target[valueStart..<stop]), isQuery: true)
            else { return nil }
            if start < stop { pairs.append((name, value)) }
            start = stop + 1
        }
        return pairs
    }

    /// Decodes the `%XX` of a name, as one in a path; nil as for a path.
    static func decoded(_ name: String) -> String? {
        var name = name
        return name.withUTF8 { decode(UnsafeRawBufferPointer($0), isQuery: false) }
    }

    /// Decodes `%XX`, and in a query `+`, once.
    ///
    /// - Returns: nil for a bad escape, or if the result is not UTF-8.
    private static func decode(_ bytes: UnsafeRawBufferPointer, isQuery: Bool) -> String? {
        let needsDecoding = bytes.contains { $0 == UInt8(ascii: "%") || (isQuery && $0 == UInt8(ascii: "+")) }
        guard needsDecoding else { return String(utf8: bytes) }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "%") {
                guard
                    index + 2 < bytes.count,
                    let high = bytes[index + 1].hexDigitValue, let low = bytes[index + 2].hexDigitValue
                else { return nil }
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(isQuery && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
                index += 1
            }
        }
        return String(validating: decoded, as: UTF8.self)
    }
}

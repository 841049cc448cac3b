internal import NatterModel

/// Reads the head of a request byte by byte from libmicrohttpd's own buffer.
///
/// The library is lax: it accepts bare line feeds, folded lines, names with spaces, and text after a NUL. But it keeps
/// the head in one piece, and only puts NULs where it recognised syntax: one after the method, the target and each
/// header's name, and two for each CR LF. A head that does not look exactly like that was not sent as RFC 9112
/// requires. Two things leave no trace. A NUL just before a bare LF looks like CR LF, but no reader interprets that as two
/// requests. A line that is a lone colon ends the head if it, or the line before it, ends in a bare LF; a proxy that
/// normalizes what it passes on never sends either.
struct HeadParser {
    private(set) var headers: [(name: String, value: String)] = []
    private(set) var contentLength: Int?
    private(set) var isChunked = false
    private var hosts = 0
    private var hasAuthorization = false

    /// - Parameters:
    ///   - bytes: from the method to the end of the head.
    ///   - targetRange: the position in `bytes` where the library found the target.
    ///   - headerCount: how many headers the library found.
    init(_ bytes: UnsafeRawBufferPointer, targetRange: Range<Int>, headerCount: Int) throws(HTTPViolation) {
        let isOld = try HeadParser.checkRequestLine(bytes, targetRange: targetRange)
        // After the target come its NUL, the version, and the two NULs of the CR LF.
        var index = targetRange.upperBound + HeadParser.versionCount + 1
        try HeadParser.skipLineEnd(bytes, &index)
        headers.reserveCapacity(headerCount)
        while index < bytes.count, bytes[index] != 0 {
            try takeHeader(bytes, &index)
        }
        try HeadParser.skipLineEnd(bytes, &index)
        guard index == bytes.count, headers.count == headerCount else {
            throw .malformed(reason: "the head of the request is not what RFC 9112 allows")
        }
        guard hosts == 1 || (isOld && hosts == 0) else {
            throw .malformed(reason: "a request needs exactly one Host header")
        }
        if isChunked, contentLength != nil || isOld {
            throw .malformed(reason: "Transfer-Encoding is not allowed together with Content-Length, nor in HTTP/1.0")
        }
    }

    /// Puts the host of an absolute target in the place of the header, which says nothing then.
    ///
    /// - SeeAlso: RFC 9112, section 3.2.2.
    mutating func replaceHost(_ host: String) {
        headers.removeAll { $0.name == "host" }
        headers.append(("host", host))
    }

    private static let versionCount = 8

    /// - Returns: true for HTTP/1.0.
    private static func checkRequestLine(
        _ bytes: UnsafeRawBufferPointer, targetRange: Range<Int>
    ) throws(HTTPViolation) -> Bool {
        let versionStart = targetRange.upperBound + 1
        let versionEnd = versionStart + versionCount
        guard
            targetRange.lowerBound > 1, versionEnd <= bytes.count,
            bytes[targetRange.lowerBound - 1] == 0, bytes[targetRange.upperBound] == 0,
            bytes[..<(targetRange.lowerBound - 1)].allSatisfy(isToken)
        else { throw .malformed(reason: "the request line is malformed") }
        if bytes[versionStart..<versionEnd].elementsEqual("HTTP/1.1".utf8) { return false }
        guard bytes[versionStart..<versionEnd].elementsEqual("HTTP/1.0".utf8) else {
            throw .malformed(reason: "this server speaks only HTTP/1.0 and HTTP/1.1")
        }
        return true
    }

    private static func skipLineEnd(_ bytes: UnsafeRawBufferPointer, _ index: inout Int) throws(HTTPViolation) {
        guard index + 1 < bytes.count, bytes[index] == 0, bytes[index + 1] == 0 else {
            throw .malformed(reason: "a line of the head does not end in CR LF, or contains a NUL")
        }
        index += 2
    }

    private mutating func takeHeader(_ bytes: UnsafeRawBufferPointer, _ index: inout Int) throws(HTTPViolation) {
        let nameStart = index
        while index < bytes.count, HeadParser.isToken(bytes[index]) { index += 1 }
        guard index > nameStart, index < bytes.count, bytes[index] == 0 else {
            throw .malformed(
                reason: "a header's name has characters that RFC 9110 does not allow, or its line is folded")
        }
        let name = UnsafeRawBufferPointer(rebasing: bytes[nameStart..<index])
        index += 1
        var valueStart = index
        while index < bytes.count, bytes[index] != 0 {
            guard bytes[index] >= 0x20 || bytes[index] == 0x09, bytes[index] != 0x7F else {
                throw .malformed(reason: "a header's value has a control character")
            }
            index += 1
        }
        let end = index
        var valueEnd = end
        try HeadParser.skipLineEnd(bytes, &index)
        while valueStart < valueEnd, HeadParser.isBlank(bytes[valueStart]) { valueStart += 1 }
        while valueEnd > valueStart, HeadParser.isBlank(bytes[valueEnd - 1]) { valueEnd -= 1 }
        try addHeader(
            name: name, value: UnsafeRawBufferPointer(rebasing: bytes[valueStart..<valueEnd]), isPadded: valueEnd < end)
    }

    private mutating func addHeader(
        name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, isPadded: Bool
    ) throws(HTTPViolation) {
        let lowered = String(unsafeUninitializedCapacity: name.count) { buffer in
            for (index, byte) in name.enumerated() {
                buffer[index] = byte.asciiLowercased
            }
            return name.count
        }
        switch (isPadded, lowered) {
        // libmicrohttpd keeps blanks behind a value, and then would not know 'chunked': it took what follows the last chunk for
        // more of the body.
        case (true, "transfer-encoding"), (true, "expect"):
            throw .malformed(reason: "there are blanks behind the value of '\(lowered)'")
        case (_, "host"):
            hosts += 1
            guard value.allSatisfy(HeadParser.isHost) else { throw .malformed(reason: "the Host header is malformed") }
        case (_, "authorization"):
            // A proxy may have checked another one than is used here.
            guard !hasAuthorization else { throw .malformed(reason: "there is more than one Authorization header") }
            hasAuthorization = true
        case (_, "content-length"):
            guard contentLength == nil else { throw .malformed(reason: "there is more than one Content-Length") }
            // The library refuses what is no number, unless there is a Transfer-Encoding, beside which it is refused here.
            // A number too large for `Int` is above every limit.
            contentLength = Int(String(decoding: value, as: UTF8.self)) ?? .max
        case (_, "transfer-encoding"):
            guard !isChunked, value.lazy.map(\.asciiLowercased).elementsEqual("chunked".utf8) else {
                throw .malformed(reason: "the only supported Transfer-Encoding is 'chunked'")
            }
            isChunked = true
        default: break
        }
        headers.append((lowered, String(decoding: value, as: UTF8.self)))
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// True for a character of a name, a port or an address in brackets. A comma would make a list of two hosts.
    static func isHost(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "/"), UInt8(ascii: "@"), UInt8(ascii: "?"), UInt8(ascii: "#"),
            UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"):
            false
        default: byte > 0x20 && byte < 0x7F
        }
    }

    /// True for `tchar` of RFC 9110, section 5.6.2.
    private static func isToken(_ byte: UInt8) -> Bool {
        let (low, high): (UInt64, UInt64) = (0x03FF_6CFA_0000_0000, 0x57FF_FFFF_C7FF_FFFE)
        return byte < 64 ? low & 1 << UInt64(byte) != 0 : byte < 128 && high & 1 << UInt64(byte - 64) != 0
    }
}

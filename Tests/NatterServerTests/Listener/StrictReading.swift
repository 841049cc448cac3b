/// Reads a run of bytes as requests, and takes nothing that RFC 9112 leaves in doubt. It is the judge of the fuzzed requests,
/// written without a look at how the listener does it.
struct StrictReading {
    struct Request: Equatable {
        let method: String
        let target: String
        let body: [UInt8]
        /// Its body comes in chunks, of which this reader makes nothing more.
        let isChunked: Bool
        /// Nothing may follow it.
        let isLast: Bool
    }

    /// Those that must be understood as they are, up to the first that must not, or that is not whole.
    private(set) var requests: [Request] = []
    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        while let request = next() {
            requests.append(request)
            if request.isLast { break }
        }
    }

    private static let tokenMarks = Set("!#$%&'*+-.^_`|~".utf8)

    private static func isToken(_ bytes: ArraySlice<UInt8>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || tokenMarks.contains(byte)
            }
    }

    /// The next line that ends in CR LF, without it; nil if there is none, or if it holds half of such an end.
    ///
    /// One thing is left in doubt, as it is by the listener: it cannot tell a NUL and a bare LF from CR LF, nor a bare LF and
    /// a NUL before an empty line, because the library beneath it has made two NULs of either by then. Behind a header, a lone
    /// colon is as good as that NUL.
    private mutating func line(ofHeader: Bool) -> ArraySlice<UInt8>? {
        var end = place
        while end < bytes.count, bytes[end] != 0x0D, bytes[end] != 0x0A { end += 1 }
        if end > place, end < bytes.count, bytes[end] == 0x0A, bytes[end - 1] == 0 { end -= 1 }
        let rest = bytes[end...]
        if end > place, rest.starts(with: "\n\0\r\n".utf8) || ofHeader && rest.starts(with: "\n:\r\n".utf8) {
            defer { place = end + 2 }
            return bytes[place..<end]
        }
        guard end + 1 < bytes.count, bytes[end] == 0x0D || bytes[end] == 0, bytes[end + 1] == 0x0A else { return nil }
        defer { place = end + 2 }
        return bytes[place..<end]
    }

    /// Lines before a request may be passed over where they are empty. For the library beneath the listener they are that
    /// however they end, and also where they begin with a NUL; no request comes of any.
    private mutating func skipEmptyLines() {
        while place < bytes.count, [0x0D, 0x0A, 0].contains(bytes[place]) {
            if bytes[place] == 0 {
                while place < bytes.count, bytes[place] != 0x0D, bytes[place] != 0x0A { place += 1 }
            } else {
                place += 1
            }
        }
    }

    /// Without the scheme and the host that it may begin with.
    private static func target(_ word: ArraySlice<UInt8>) -> String? {
        guard word.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { return nil }
        let text = String(decoding: word, as: UTF8.self)
        if text.utf8.first == 0x2F { return text }
        guard let match = text.prefixMatch(of: /(?i)https?:\/\/([!$-+\-.0-;=A-\[\]-~]+)(?=[\/?]|$)/) else { return nil }
        let rest = text[match.range.upperBound...]
        return rest.utf8.first == 0x2F ? String(rest) : "/" + rest
    }

    private mutating func next() -> Request? {
        skipEmptyLines()
        guard let first = line(ofHeader: false) else { return nil }
        let words = first.split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count == 3, Self.isToken(words[0]), let target = Self.target(words[1]) else { return nil }
        let isOld = words[2].elementsEqual("HTTP/1.0".utf8)
        guard isOld || words[2].elementsEqual("HTTP/1.1".utf8) else { return nil }
        var (hosts, lengths, codings, isClosing) = (0, [Int](), 0, isOld)
        var isBehindHeader = false
        while true {
            // Behind a header, the library takes a colon before a bare LF for the end of the head, and leaves no trace of it.
            if isBehindHeader, bytes[place...].starts(with: ":\n".utf8) {
                place += 2
                break
            }
            guard let line = line(ofHeader: true) else { return nil }
            if line.isEmpty { break }
            isBehindHeader = true
            guard let colon = line.firstIndex(of: 0x3A), Self.isToken(line[..<colon]) else { return nil }
            var value = line[(colon + 1)...]
            while let blank = value.first, blank == 0x20 || blank == 0x09 { value.removeFirst() }
            while let blank = value.last, blank == 0x20 || blank == 0x09 { value.removeLast() }
            guard value.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7F) }) else { return nil }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            // The library reads blanks behind these as part of the value.
            if value.endIndex < line.endIndex, ["content-length", "transfer-encoding", "expect"].contains(name) {
                return nil
            }
            switch name {
            case "host":
                hosts += 1
                if value.contains(where: { $0 <= 0x20 || $0 > 0x7E || $0 == 0x2C || $0 == 0x2F }) { return nil }
            case "content-length":
                guard (1...18).contains(value.count), value.allSatisfy({ (0x30...0x39).contains($0) }) else {
                    return nil
                }
                lengths.append(value.reduce(0) { $0 * 10 + Int($1 - 0x30) })
            case "transfer-encoding":
                guard value.map({ (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }).elementsEqual("chunked".utf8) else {
                    return nil
                }
                codings += 1
            case "connection": isClosing = isClosing || value.elementsEqual("close".utf8)
            default: break
            }
        }
        guard hosts == 1 || (hosts == 0 && isOld), lengths.count + codings <= 1, codings == 0 || !isOld else {
            return nil
        }
        let length = lengths.first ?? 0
        guard length <= bytes.count - place else { return nil }
        defer { place += length }
        return Request(
            method: String(decoding: words[0], as: UTF8.self), target: target,
            body: Array(bytes[place..<place + length]), isChunked: codings > 0, isLast: isClosing || codings > 0)
    }
}

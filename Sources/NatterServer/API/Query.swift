internal import NatterLanguage
internal import NatterModel
internal import NatterWire

/// The fields of a request's query, read as what they mean.
struct Query {
    private let head: RequestHead

    init(_ head: RequestHead) { self.head = head }

    /// - Throws: 400 for a query that can't be decoded, or that has a field twice: who reads the first and who reads the last
    ///   would take it for different requests.
    static func check(_ head: RequestHead) throws(APIError) {
        guard let fields = head.query else { throw APIError(.badRequest, "the query is not percent-encoded UTF-8") }
        var seen: Set<String> = []
        for field in fields where !seen.insert(field.name).inserted {
            throw APIError(.badRequest, "'\(field.name)' is in the query twice")
        }
    }

    /// The value of a field; nil without one, or where it is empty.
    subscript(name: String) -> String? {
        guard let value = head.query?.first(where: { $0.name == name })?.value, !value.isEmpty else { return nil }
        return value
    }

    /// A page's size: 1 and more, above 1,000 taken as 1,000.
    func limit() throws(APIError) -> Int {
        guard let text = self["limit"] else { return Limits.defaultPage }
        guard let limit = Query.number(text), limit > 0 else {
            throw APIError(.badRequest, "'limit' must be a number above 0")
        }
        return min(limit, Limits.pageLimit)
    }

    /// Seconds to wait for news: 0 to 60, more taken as 60.
    func wait() throws(APIError) -> Int {
        guard let text = self["wait"] else { return 0 }
        guard let seconds = Query.number(text) else {
            throw APIError(.badRequest, "'wait' must be a number of seconds from 0 to 60")
        }
        return min(seconds, Limits.waitSeconds.upperBound)
    }

    /// Digits alone; a number too large for us is still above every limit.
    static func number(_ text: String) -> Int? {
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return Int(text) ?? .max
    }

    /// A switch: `1` or `true`, `0` or `false`.
    func flag(_ name: String) throws(APIError) -> Bool {
        switch self[name] {
        case nil, "0", "false": return false
        case "1", "true": return true
        default: throw APIError(.badRequest, "'\(name)' must be 0 or 1")
        }
    }

    /// A moment: RFC 3339, or Unix milliseconds.
    func time(_ name: String) throws(APIError) -> Timestamp? {
        guard let text = self[name] else { return nil }
        if let milliseconds = Int64(text) { return Timestamp(milliseconds: milliseconds) }
        // A plus sign in a query is a space unless it was escaped; in a time it can only be the offset's.
        guard let time = Timestamp(rfc3339: text) ?? Timestamp(rfc3339: text.replacingLast(" ", with: "+")) else {
            throw APIError(.badRequest, "'\(name)' must be a time of RFC 3339 or Unix milliseconds")
        }
        return time
    }
}

extension String {
    fileprivate func replacingLast(_ character: Character, with other: Character) -> String {
        guard let index = lastIndex(of: character) else { return self }
        return self[..<index] + String(other) + self[self.index(after: index)...]
    }
}

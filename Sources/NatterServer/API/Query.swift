internal import NatterModel
internal import NatterProtocol

/// The fields of a request's query, parsed. Names and values are compared as bytes: comparing or hashing a `String` costs the
/// square of a run of combining marks.
struct Query {
    private let head: RequestHead

    init(_ head: RequestHead) { self.head = head }

    /// - Throws: 400 for a query that can't be decoded or that has a field twice. A proxy that reads the first field
    ///   and a server that reads the last would see different requests.
    static func check(_ head: RequestHead) throws(APIError) {
        guard let fields = head.query else { throw APIError(.badRequest, "the query is not percent-encoded UTF-8") }
        var seen: Set<[UInt8]> = []
        for field in fields where !seen.insert(Array(field.name.utf8)).inserted {
            throw APIError(.badRequest, "'\(field.name)' is in the query twice")
        }
    }

    /// The value of a field, or nil if it is missing or empty.
    subscript(name: String) -> String? {
        guard let value = given(name), !value.isEmpty else { return nil }
        return value
    }

    /// The value of a field for which empty is not missing, or nil if it is missing.
    func given(_ name: String) -> String? {
        head.query?.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// A field that is a name, in normalization form C.
    ///
    /// - Throws: 400 for a name with '/' or U+0000, which a path refuses, too.
    func name(_ field: String) throws(APIError) -> String? {
        guard self[field]?.utf8.contains(UInt8(ascii: "/")) != true else {
            throw APIError(.badRequest, "'\(field)' can't have '/'")
        }
        return try label(field)
    }

    /// A field that is the sender of messages. That of an imported one is a label, which may have '/'.
    func label(_ field: String) throws(APIError) -> String? {
        guard let text = self[field] else { return nil }
        guard !text.utf8.contains(0) else { throw APIError(.badRequest, "'\(field)' can't have U+0000") }
        return Normalization.formC(text)
    }

    /// The page size, at least 1. Values above 1,000 count as 1,000.
    func limit() throws(APIError) -> Int {
        guard let text = given("limit") else { return Limits.defaultPage }
        guard let limit = Query.number(text), limit > 0 else {
            throw APIError(.badRequest, "'limit' must be a number above 0")
        }
        return min(limit, Limits.pageLimit)
    }

    /// Seconds to wait for news, at least 0. Values above 60 count as 60.
    func wait() throws(APIError) -> Int {
        guard let text = self["wait"] else { return 0 }
        guard let seconds = Query.number(text) else {
            throw APIError(.badRequest, "'wait' must be a number of seconds from 0 to 60")
        }
        return min(seconds, Limits.waitSeconds.upperBound)
    }

    /// Parses a number that has digits only. A number too large for `Int` becomes `Int.max`, which is above every
    /// limit.
    static func number(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.areASCIIDigits else { return nil }
        return Int(text) ?? .max
    }

    /// A flag, given as `1` or `true`, `0` or `false`.
    func flag(_ name: String) throws(APIError) -> Bool {
        guard let value = self[name] else { return false }
        func isOne(of words: String...) -> Bool { words.contains { $0.utf8.elementsEqual(value.utf8) } }
        if isOne(of: "0", "false") { return false }
        if isOne(of: "1", "true") { return true }
        throw APIError(.badRequest, "'\(name)' must be 0 or 1")
    }

    /// The id of the conversation that is meant, whatever name the path has. An empty one is malformed: a script whose
    /// variable has no value must not delete by name.
    func conversationID() throws(APIError) -> ConversationID? {
        guard let text = given("conversation_id") else { return nil }
        guard let id = ConversationID(hex: text) else {
            throw APIError(.badRequest, "'conversation_id' must have 32 hexadecimal digits")
        }
        return id
    }

    /// A time in RFC 3339 or in Unix milliseconds.
    func time(_ name: String) throws(APIError) -> Timestamp? {
        guard let text = self[name]?.asWord else { return nil }
        if let milliseconds = Int64(text) { return Timestamp(milliseconds: milliseconds) }
        // An unescaped plus sign in a query means a space. In a time, it can only be the sign of the offset.
        guard let time = Timestamp(rfc3339: text) ?? Timestamp(rfc3339: text.replacingLast(" ", with: "+")) else {
            throw APIError(.badRequest, "'\(name)' must be a time of RFC 3339 or Unix milliseconds")
        }
        return time
    }
}

/// A part of a list.
struct ListPart {
    /// By what `next` finds its place again.
    enum Order {
        /// Without regard to case.
        case names
        case numbers
        /// By something else, so that only an object that is still there has a place.
        case other
    }

    /// nil if the request does not say it.
    let limit: Int?
    /// The place behind which the part begins.
    let after: String?

    static func read(_ call: Call) throws(APIError) -> ListPart {
        let hasLimit = call.query.given("limit") != nil
        return ListPart(limit: hasLimit ? try call.query.limit() : nil, after: try call.query.name("after"))
    }

    /// The items behind `after`.
    ///
    /// - Throws: 400 if that is no place of this list.
    func behind<Item>(
        _ items: [Item], _ order: Order, _ place: (Item) -> String
    ) throws(APIError) -> ArraySlice<Item> {
        guard let after else { return items[...] }
        switch order {
        case .names:
            let key = NameRule.caseKey(after)
            return items.drop { !key.utf8.lexicographicallyPrecedes(NameRule.caseKey(place($0)).utf8) }
        case .numbers:
            guard let number = Query.number(after) else { break }
            return items.drop { Int(place($0)).map { $0 <= number } ?? false }
        case .other:
            guard let index = items.firstIndex(where: { place($0).utf8.elementsEqual(after.utf8) }) else { break }
            return items[(index + 1)...]
        }
        throw APIError(.badRequest, "'after' must be the 'next' of an earlier page, whose last object is still there")
    }
}

extension String {
    fileprivate func replacingLast(_ character: Character, with other: Character) -> String {
        guard let index = lastIndex(of: character) else { return self }
        return self[..<index] + String(other) + self[self.index(after: index)...]
    }
}

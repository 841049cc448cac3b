internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Sealed blocks by addresses that never change, so that any cache may keep them.
enum BlockRoutes {
    static let all = [Route("GET", "v1/blocks/*/*", block)]

    private static func block(_ call: Call) throws(APIError) {
        guard let id = ConversationID(hex: call.parameters[0]), let (first, revision) = place(call.parameters[1]) else {
            throw APIError(.badRequest, "a block's path is CONVERSATION_ID/FIRST-REVISION")
        }
        let principal = try call.principal(.readAny)
        let found: StoredBlock?
        do throws(StoreError) {
            found = try call.store.block(of: id, firstSeq: first, revision: revision, for: principal)
        } catch {
            throw APIError(error)
        }
        guard let found else { throw APIError(.notFound, "no sealed block begins at message \(first)") }
        let tag = "\"\(found.tag)\""
        let headers = [
            ("ETag", tag), ("Cache-Control", "private, immutable, max-age=31536000"), ("Vary", "Authorization"),
        ]
        if let known = call.head.header("if-none-match"), isMatch(known, tag) {
            return call.respond(Reply(status: 304, headers: headers, note: principal.name.text))
        }
        call.respond(
            Reply(
                status: 200, headers: headers + [("Content-Type", "application/octet-stream")],
                body: .bytes(found.bytes), note: principal.name.text))
    }

    /// `FIRST-REVISION`, both decimal.
    private static func place(_ text: String) -> (Seq, UInt32)? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = UInt64(parts[0]), first > 0, first <= UInt64(Int64.max),
            let revision = UInt32(parts[1])
        else { return nil }
        return (Seq(first), revision)
    }

    /// The weak comparison of RFC 9110, section 13.1.2.
    private static func isMatch(_ header: String, _ tag: String) -> Bool {
        header.split(separator: ",").contains { part in
            let one = part.drop { $0 == " " }.prefix { $0 != " " }
            return one == "*" || one == tag || one == "W/" + tag
        }
    }
}

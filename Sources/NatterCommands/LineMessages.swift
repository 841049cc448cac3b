internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// Parses a line of `send --lines` or `--ndjson`.
struct LineMessages {
    enum Form {
        /// Each line is a text.
        case texts
        /// Each line is `{"conversation"?,"text","id"?}`.
        case objects
    }

    /// Why a line is not a message. The reason is printed after the line's number.
    struct Problem: Error {
        let code: String
        let reason: Phrase
    }

    let form: Form
    /// The conversation of lines that do not name one.
    let conversation: String
    /// The prefix of the ids. Line n has the id `key:n` unless it names its own.
    let key: String

    /// The maximum length of a line in bytes.
    var limitBytes: Int { form == .texts ? Limits.textBytes.upperBound : Limits.bodyBytes }

    /// - Returns: nil for a blank line.
    func message(_ line: [UInt8], number: Int64) throws(Problem) -> SendRequest? {
        if line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }) { return nil }
        let request: SendRequest
        switch form {
        case .texts:
            guard let text = String(validating: line, as: UTF8.self) else {
                throw Problem(code: "bad_text", reason: "it is not UTF-8; convert the input with iconv")
            }
            request = SendRequest(conversation: conversation, text: text, id: "\(key):\(number)")
        case .objects: request = try self.request(line, number)
        }
        do throws(TextError) { try TextError.checkMeant(request.text) } catch {
            throw Problem(code: "bad_text", reason: "\(error)")
        }
        return request
    }

    /// The fields of an object that count. A line is always a new text, so a `kind` must not make it a deletion.
    private struct Fields: Decodable {
        let conversation: String?
        let text: String
        let id: String?
    }

    private func fields(_ line: [UInt8]) throws(WireJSON.Failure) -> Fields {
        // This is much faster for most lines. With a kind, the object may be valid without a text.
        let known = try? WireJSON.decode(SendRequest.self, from: line, conversation: conversation)
        if let known, known.kind == nil {
            return Fields(conversation: known.conversation, text: known.text, id: known.id)
        }
        return try WireJSON.decode(Fields.self, from: line)
    }

    private func request(_ line: [UInt8], _ number: Int64) throws(Problem) -> SendRequest {
        let fields: Fields
        do throws(WireJSON.Failure) {
            fields = try self.fields(line)
        } catch {
            switch error {
            case .malformed: throw Problem(code: "bad_json", reason: "it is not JSON in UTF-8")
            case .field(""): throw Problem(code: "bad_json", reason: "it is not a JSON object")
            case .field(let name): throw Problem(code: "bad_json", reason: "it has no string '\(name)'")
            }
        }
        if let id = fields.id, IdempotencyKey(id) == nil {
            throw Problem(code: "bad_id", reason: "the id '\(id)' is not valid; use 1 to 64 printable ASCII characters")
        }
        return SendRequest(
            conversation: fields.conversation ?? conversation, text: fields.text, id: fields.id ?? "\(key):\(number)")
    }

    var tooLong: Problem {
        form == .texts
            ? Problem(
                code: "bad_text",
                reason: "it is longer than the limit for a message, \(Limits.textBytes.upperBound) "
                    + "bytes")
            : Problem(code: "too_large", reason: "it is longer than the limit for a line, \(Limits.bodyBytes) bytes")
    }
}

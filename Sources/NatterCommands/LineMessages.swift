internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

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
        do throws(TextError) { try TextError.check(request.text) } catch {
            throw Problem(code: "bad_text", reason: "\(error)")
        }
        return request
    }

    private func request(_ line: [UInt8], _ number: Int64) throws(Problem) -> SendRequest {
        var request: SendRequest
        do throws(WireJSON.Failure) {
            request = try WireJSON.decode(SendRequest.self, from: line, conversation: conversation)
        } catch {
            switch error {
            case .malformed: throw Problem(code: "bad_json", reason: "it is not JSON in UTF-8")
            case .field(""): throw Problem(code: "bad_json", reason: "it is not a JSON object")
            case .field(let name): throw Problem(code: "bad_json", reason: "it has no string '\(name)'")
            }
        }
        if let id = request.id, IdempotencyKey(id) == nil {
            throw Problem(code: "bad_id", reason: "the id '\(id)' is not valid; use 1 to 64 printable ASCII characters")
        }
        request.id = request.id ?? "\(key):\(number)"
        return request
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

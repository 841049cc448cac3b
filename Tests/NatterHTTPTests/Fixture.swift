internal import NatterHTTP
import NatterModel
internal import Testing

func makeClient(_ url: String, timeoutMilliseconds: Int = 60_000, caFile: String? = nil) throws -> HTTPClient {
    HTTPClient(
        address: try ServerAddress(url: url), timeoutMilliseconds: timeoutMilliseconds, caFile: caFile,
        userAgent: "natter-test", ownsOpenSSL: true)
}

/// A transport error without its values, so that tests can compare.
enum Kind: Equatable {
    case notReached, certificate, unreadable, malformedCertificates, tooFewFiles, timedOut(sent: Bool), interrupted
    case protocolError, aborted

    init(_ error: TransportError) {
        self =
            switch error {
            case .notReached: .notReached
            case .certificate: .certificate
            case .unreadable: .unreadable
            case .malformedCertificates: .malformedCertificates
            case .tooFewFiles: .tooFewFiles
            case .timedOut(let sent): .timedOut(sent: sent)
            case .interrupted: .interrupted
            case .protocolError: .protocolError
            case .aborted: .aborted
            }
    }
}

/// The error that `body` throws, as its kind and its words; nil if it throws nothing.
func failure(_ body: () throws(TransportError) -> HTTPResponse) -> (kind: Kind, text: String)? {
    refusal(try body())
}

/// The error of a request, as its kind and its words; nil if it is answered.
func refusal(_ answer: @autoclosure () throws(TransportError) -> HTTPResponse) -> (kind: Kind, text: String)? {
    do {
        _ = try answer()
        return nil
    } catch {
        return (Kind(error), error.description)
    }
}

func text(_ response: HTTPResponse) -> String { String(decoding: response.body, as: UTF8.self) }

/// Makes a client for an address that a test has made itself, where only a transport error may be thrown.
func makeClientUnchecked(_ url: String, timeoutMilliseconds: Int = 60_000, caFile: String? = nil)
    throws(TransportError) -> HTTPClient
{
    do {
        return try makeClient(url, timeoutMilliseconds: timeoutMilliseconds, caFile: caFile)
    } catch {
        throw .protocolError("\(error)")
    }
}

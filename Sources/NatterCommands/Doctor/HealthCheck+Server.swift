internal import NatterHTTP
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

extension HealthCheck {
    private static let clockLimitMilliseconds: Int64 = 60_000
    /// How long before its expiry a certificate is reported.
    private static let renewalMilliseconds: Int64 = 14 * 86_400_000

    /// Asks the server for its health and for the session's account.
    ///
    /// - Returns: the session's account, if the server answered.
    /// - Throws: for an invalid option.
    mutating func checkServer(_ login: Context.Login?) throws -> (user: String, store: StoreID?)? {
        let address: ServerAddress
        do {
            address =
                if let login {
                    try context.address(of: login.account)
                } else {
                    try context.address(remembered: context.profile().account()?.server)
                }
        } catch let error as UsageError {
            throw error
        } catch {
            add(Finding(.server, error, else: "give its address with --server"))
            return nil
        }
        if address.scheme == .http, !address.isLoopback {
            add(
                .certificate, "plain HTTP to '\(address)' exposes passwords and tokens to the network",
                "give the server a certificate and use https")
        }
        let client: ServerAPI
        do {
            client = try context.api(at: address, token: nil, isSecret: false)
            let answer = try client.perform(HTTPRequest(API.health))
            if let health: HealthAnswer = try? WireJSON.decode(answer: answer.body), health.search != nil {
                add(
                    .server, "the search index of '\(address)' has stopped, so that searches there are slow",
                    "ask the administrator to check 'natterd status'")
            } else {
                tell("server: '\(address)' is fine")
            }
            checkClock(answer)
            checkCertificate(client.certificateExpires, address)
        } catch let error as UsageError {
            throw error
        } catch {
            switch error as? RequestError {
            case .transport(.certificate, _)?, .transport(.unreadable, _)?, .transport(.malformedCertificates, _)?:
                add(Finding(.certificate, error, else: "ask the server's administrator"))
            default: add(Finding(.server, error, else: "ask the administrator to check its log"))
            }
            return nil
        }
        guard let login else { return nil }
        return checkSession(login, address)
    }

    private mutating func checkSession(
        _ login: Context.Login, _ address: ServerAddress
    ) -> (user: String, store: StoreID?)? {
        do {
            let api = try context.api(at: address, token: login.token, of: login.account)
            let answer = try api.whoami()
            if let known = login.account.store, let store = api.store, known != store {
                add(
                    .session, "the server at '\(address)' has a different store than the one you logged in to",
                    "give the right address with --server, or run 'natter login NAME' again")
            }
            tell("session: valid, of '\(answer.name)'")
            return (answer.name, api.store)
        } catch {
            // Plain HTTP was already reported.
            if (error as? CommandFailure)?.code != "insecure" {
                add(Finding(.session, error, else: RequestError.renewal(of: context.tokenFile)))
            }
            return nil
        }
    }

    private mutating func checkCertificate(_ expires: Timestamp?, _ address: ServerAddress) {
        guard let expires else { return }
        let date = String(expires.rfc3339.prefix(10))
        guard expires < context.now.advanced(milliseconds: HealthCheck.renewalMilliseconds) else {
            return tell("certificate: valid until \(date)")
        }
        add(
            .certificate, "the certificate of '\(address)' expires on \(date)",
            "ask the server's administrator to renew it")
    }

    private mutating func checkClock(_ answer: HTTPResponse) {
        guard let time = answer.date else { return }
        let difference = context.now.milliseconds - time.milliseconds
        guard abs(difference) > HealthCheck.clockLimitMilliseconds else {
            return tell("clock: agrees with the server's")
        }
        add(
            .clock,
            difference > 0
                ? "the clock here is \(difference / 1_000) s ahead of the server's"
                : "the clock here is \(-difference / 1_000) s behind the server's",
            "correct the wrong one, preferably by NTP")
    }
}

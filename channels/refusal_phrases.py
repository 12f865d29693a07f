"""What servers write when they refuse a message, by what they mean. Read by `channels/refusals.py`; the order counts.

The phrases are matched on lower-case text without addresses, hosts and links (`@` stands for an address or a host).
They are written for kinds of sentences rather than for single servers: no list of servers is ever whole.
"""

import re
from typing import Final

from processes.refusals import Cause

BLOCKLISTS: Final = (
    *("spamhaus", "spamcop", "sorbs.net", "barracudacentral", "uceprotect", "abuseat", "mail-abuse", "surbl"),
    *("uribl", "senderscore", "ipcheck.proofpoint", "cloudmark", "invaluement", "spamrats", "backscatterer"),
    *("dnsbl", "spfbl", "mailspike", "csi.cloudmark", "njabl", "dsbl.org", "ordb.org", "openrbl", "rbl."),
)
"""Their names tell even if they stand in an address."""


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{phrase})" for phrase in phrases))


_BOX: Final = (
    r"(?:e-?mail ?box|mail ?box|mail ?folder|inbox|account|user(?: ?name| ?id)?|recipients?|addressee|address(?:es)?|"
    r"alias(?:es)?|rcpt|local[- ]part|destination|person|subscriber|customer|e-?mails?|e-?mail id|id|members?)"
)
_GONE: Final = (
    r"(?:unknown|unavailable|invalid|inactive|disabled|deactivated|discontinued|closed|expired|terminated|deleted|"
    r"cancell?ed|non-?existent|unrouteable|undeliverable|no longer (?:\w+ ){0,3}?(?:active|available|valid|exists?|in "
    r"(?:use|service)|accept\w*|used|here|on (?:this )?server|employed|monitored|registered)|"
    r"(?:do|does|did)(?:n't|nt| not) (?:exist|match|live here|have an?|appear to)|"
    r"(?:is|was|are|could|can)(?:n't| ?not) (?:be )?(?:found|exist\w*|known|valid|recogni[sz]ed|registered|listed|"
    r"active|available|local|here|resolved|on this|a (?:valid|known|local|registered|user|customer|mailbox|member))|"
    r"not (?:be )?(?:found|exist\w*|known|valid|recogni[sz]ed|registered|listed|active|available|local|here|on "
    r"(?:this|the)|a (?:valid|known|local|registered|user|customer|mailbox)))"
)

PHRASES: Final[tuple[tuple[Cause, re.Pattern[str]], ...]] = (
    (
        "sender_address",
        _any(
            r"sender(?:'s)?(?: e-?mail| envelope)?(?: address| domain| id| name)?\W+(?:@\W+)?(?:was |is |"
            r"has been )?(?:not |in|un)?(?:rejected|denied|refused|blocked|banned|blacklisted|verif\w+|"
            r"valid|known|exist\w*|found|allowed|permitted|authori[sz]ed|listed|resolv\w+|acceptable|"
            r"deliverable|trusted|accepted|does not)",
            r"(?:verify|verifying|verification of|validate|resolve|accept\w*|reject\w*|block\w*|refus\w*)"
            r" (?:the |your |this )?(?:sender|envelope[- ]from|return[- ]path|mail from|from address)",
            r"(?:invalid|bad|unknown|undeliverable|unroutable|unverified|illegal|fake|forged|spoofed|"
            r"malformed|undefined) (?:\w+ )?(?:sender|return[- ]path|reverse[- ]path|mail[- ]?from|"
            r"from address|envelope from)",
            r"(?:your|sender'?s?|sending|return|mail from|from) (?:e-?mail )?(?:domain|"
            r"address)\W+(?:\S+ ){0,6}?(?:not (?:exist|found|resolv\w*|accept\w*|allow\w*|permitted|"
            r"valid)|reject\w*|denied|blocked|invalid|no (?:a|mx)\b|dns)",
            r"domain of sender",
            r"\bfrom:? (?:header )?domain",
            r"valid from\b",
            r"(?:after|reply to|response to) (?:\w+ )?mail from",
            r"send ?as ?denied",
            r"on behalf of (?:the )?from",
            r"mail from\W.{0,40}(?:denied|reject\w*|refused|not allowed|domain)",
            r"(?:no|without) (?:valid )?(?:mx|a) (?:or a )?record.{0,30}sender",
            r"absender",
            r"exp[ée]diteur",
            r"remitente",
            r"mittente",
            r"remetente",
            r"odes[ií]latel",
            r"nadawc",
            r"отправител",
        ),
    ),
    (
        "authentication",
        _any(
            r"\bspf\b",
            r"\bdkim\b",
            r"\bdmarc\b",
            r"\bdmark\b",
            r"sender policy framework",
            r"sender id (?:check|fail)",
            r"unauthenticated (?:e-?mail|mail|sender|message)",
            r"authenticat\w+ (?:is )?(?:required|check|needed|fail\w*|result)",
            r"(?:fail\w*|pass|require\w*) (?:\w+ ){0,2}authenticat",
        ),
    ),
    (
        "relay",
        _any(
            r"relay(?:ing)?(?: to \S+)?(?: access)? (?:is )?(?:denied|prohibited|forbidden|"
            r"not (?:permitted|allowed|authori[sz]ed)|rejected|disallowed|disabled|blocked)",
            r"(?:unable to|cannot|can ?not|can't|do(?:es)? not|don't|won't|not (?:permitted|allowed|"
            r"authori[sz]ed) to|no|denied|refus\w+ to|not (?:\w+ )?(?:configured|set up) to|not (?:a|an)"
            r" (?:open )?) ?relay",
            r"(?:insecure mail|mail|open|third[- ]party) relay",
            r"relayed? (?:mail|messages?)? ?not",
            r"not (?:a gateway|in (?:my|our) (?:domain|list))",
            r"rcpthosts",
        ),
    ),
    (
        "reputation",
        _any(
            r"\bblack[- ]?list",
            r"\bblock[- ]?list",
            r"\bdeny[- ]?list",
            r"\bban(?:ned|ning)\b",
            r"\brbl\b",
            r"\bdnsbl\b",
            r"reputation",
            r"senderbase",
            r"\b(?:client|connecting|remote|sending|source|your) (?:host|server|ip|ip address|mta|network|"
            r"mail server)\W+(?:\S+ ){0,8}?(?:reject\w*|block\w*|denied|refused|listed|not allowed|"
            r"prohibited|ban|bad|has been|disallowed|no ptr)",
            r"\bip(?:v[46])?(?: address(?:es)?)?\W+(?:\S+ ){0,6}?(?:reject\w*|block\w*|denied|refused|"
            r"listed|banned|disallowed|suspicious|not (?:allowed|accept\w*|have))",
            r"(?:invalid|unverifi?able|mismatch\w*|wrong) (?:\w+ ){0,2}?(?:client |source |"
            r"sending )?ips?\b",
            r"\(bl\)",
            r"relay quota",
            r"(?:listed|found) (?:in|on|by|at) (?:\S+ ){0,3}?(?:list|rbl|bl|database|zen)",
            r"blocked (?:using|by|for|due|because|from|at|in)\b",
            r"(?:temporar\w+ )?(?:blocked|rejected|deferred|refused) (?:\w+ ){0,3}?(?:due to|because of|"
            r"for) (?:\w+ ){0,3}?(?:complaint|abus\w+|spam)",
            r"user complaints",
            r"\babus(?:e|ive)\b(?! desk)",
            r"\bptr\b",
            r"(?:reverse|rdns|inverse)[- ]?(?:dns|lookup|resol\w+|host\w*|mapping)",
            r"\brdns\b",
            r"\b(?:helo|ehlo)\b.{0,60}(?:reject\w*|denied|invalid|bad|fail\w*|not |forged|must|mismatch|"
            r"refus\w+)",
            r"(?:invalid|bad|forged|need|require\w*|fix) (?:\w+ ){0,3}?(?:helo|ehlo)\b",
            r"(?:dynamic|dial-?up|residential|dialup|generic)[ -/](?:\w+ ){0,2}?(?:ip|address|host|client|"
            r"pool|dns|rdns)",
            r"(?:e-?mails?|mails?|messages?|connections?|traffic) from (?:your|this|the|that|"
            r"@)\W?(?:\S+ ){0,5}?(?:is |are |was |were |has been |have been )?(?:reject\w*|block\w*|"
            r"denied|refused|not (?:allowed|accept\w*)|blocked|prohibited)",
            r"(?:we|server|system) (?:\w+ ){0,2}(?:block|reject|refuse|do not accept|don't accept)"
            r" (?:\w+ ){0,3}(?:mail|messages|connections) from",
            r"access (?:denied|refused|from)\W+(?:\S+ ){0,4}?(?:ip|host|bad|address|blocked)",
        ),
    ),
    (
        "mailbox_full",
        _any(
            r"(?:mail ?box|mail ?folder|inbox|folder|account|storage|user's|mail ?drop|quota|disk|spool|"
            r"space)'?s?\W+(?:@\W+)?(?:\S+ ){0,8}?(?:is |are |was )?(?:full\b|over ?quota|"
            r"over (?:the )?(?:storage |allotted |its |their |disk )?(?:quota|limit)|exceed\w*|"
            r"out of (?:storage|disk|space)|too (?:large|full)|over the maximum)",
            r"\b(?:over|out of|exceed\w*|insufficient|above|beyond)[ -]?(?:\w+ ){0,4}?(?:quota|storage|"
            r"disk space|mailbox size|mailbox limit|mailbox space)",
            r"\bquota\b",
            r"overquota",
            r"quotaexceeded",
            r"(?:not enough|no|insufficient|lack of) (?:\w+ ){0,2}(?:space|storage|room)",
            r"storefull",
            r"postfach (?:\S+ ){0,3}(?:voll|überfüllt)",
            r"speicherplatz",
            r"bo[îi]te (?:\S+ ){0,4}pleine",
            r"satur[ée]e",
            r"buz[óo]n (?:\S+ ){0,3}llen[oa]",
            r"casella (?:\S+ ){0,3}piena",
            r"caixa (?:\S+ ){0,4}cheia",
            r"schr[áa]nka (?:\S+ ){0,3}pln[áa]",
            r"переполнен",
            r"skrzynka (?:\S+ ){0,3}pełna",
            r"容量",
            r"満杯",
            r"已满",
            r"空间不足",
            r"超過",
            r"超出",
        ),
    ),
    (
        "content",
        _any(
            r"(?<![\w-])spam(?:my|ming|med|mer|iness)?(?![\w-])",
            r"\bspamassassin",
            r"\bunsolicited",
            r"\bjunk mail",
            r"(?<![\w-])(?:uce|ube|bulk)(?![\w-])",
            r"\bvirus",
            r"\bmalware",
            r"\bphish",
            r"\binfected",
            r"\bworm\b",
            r"\btrojan",
            r"suspicious",
            r"malicious",
            r"harmful",
            r"(?:message|mail|e-?mail|body|header|subject|attachment|mime)s? (?:contents?|"
            r"(?:\w+ ){0,4}contains?|part|type|name)",
            r"\bcontents? (?:reject|filter|den|block|policy|restrict)",
            r"forbidden (?:content|attach|file)",
            r"\battachments?\b",
            r"\bexecutable",
            r"(?:message|mail|e-?mail|size)\W+(?:\S+ ){0,4}?(?:too (?:big|large|long)(?! in)|"
            r"exceed\w* (?:\S+ ){0,6}?(?:size|maximum|max\b|length|limit))",
            r"(?:maximum|max|fixed|allowed) (?:\w+ ){0,3}size",
            r"size (?:limit|exceed\w*|violation)",
            r"(?:message|mail) size",
            r"line (?:limit|length|too long)",
            r"\brfc ?-?(?:2822|5322|822|5321|2821|1652|2047)",
            r"bare (?:lf|cr|line)",
            r"(?:missing|invalid|duplicate\w*|multiple|bad|malformed) (?:\w+ )?(?:header|from:|date:|"
            r"message-id|mime)",
            r"header (?:field|error|check|syntax)",
            r"8-?bit",
            r"smtputf8",
            r"\bstarttls\b",
            r"(?:tls|encrypt\w+|secure connection)(?: is| are)? (?:required|needed|mandatory)",
        ),
    ),
    (
        "recipient_policy",
        _any(
            r"(?:recipient|user|mailbox|customer|account|"
            r"address)\W+(?:@\W+)?(?:\S+ ){0,3}?(?:only (?:accepts?|receives?)|has (?:restricted|blocked|"
            r"chosen)|is (?:restricted|protected)|does not (?:want|wish|accept mail from you)|"
            r"accepts? (?:mail|messages?) only)",
            r"notauthorized",
            r"authrequired",
            r"resolver\.rst",
            r"not authori[sz]ed to send (?:to|e-?mail to) (?:this|the|that) (?:recipient|user|group|"
            r"address|list)",
            r"do(?:es)? not have permission",
            r"restricted (?:to|by|address|recipient|group)",
            r"challenge",
            r"confirm that you",
            r"\b(?:may|might) not (?:exist|have)\b",
            r"möglicherweise",
            r"pravděpodobně",
            r"il se peut",
            r"podr[íi]a",
            r"potrebbe",
            r"possivelmente",
            r"kan zijn",
            r"może",
            r"可能",
        ),
    ),
    (
        "rate",
        _any(
            r"\b(?:at a|sending|message|mail|delivery|connection|receiving) rate",
            r"rate[- ](?:limit|control|exceed)",
            r"exceed\w* (?:\S+ ){0,3}rate",
            r"too (?:many|fast|quickly|frequent\w*|much (?:mail|traffic))(?! hops| hop| unknown| invalid|"
            r" bad| loops)",
            r"throttl\w+",
            r"excessive",
            r"(?:daily|hourly|sending|per[- ](?:hour|day|minute)) (?:\w+ ){0,2}(?:limit|quota)",
            r"(?:limit|maximum|max|quota)\W+(?:\S+ ){0,5}?(?:connections|sessions|messages (?:per|a|in)|"
            r"per (?:hour|day|minute|connection))",
            r"concurren\w+",
            r"connection limit",
            r"over rate",
        ),
    ),
    (
        "unreachable",
        _any(
            r"tim(?:ed|e)[- ]?out",
            r"\bexpired?\b(?: in| after|$)",
            r"(?:delivery|retry|queue|message|bounce) (?:time |period |lifetime |attempts? |"
            r"timeout )?(?:has |is |was )?(?:expired|exceeded|exhausted)",
            r"retry time not reached",
            r"retries",
            r"too long in (?:the )?queue",
            r"undelivered (?:for|after)",
            r"(?:could|can) ?not be delivered (?:within|for|after) \d",
            r"for the last \d",
            r"been in the queue",
            r"connection (?:was )?(?:refused|reset|lost|dropped|closed|died|failed|attempts failed)",
            r"lost connection",
            r"(?:can't|cannot|could not|couldn't|unable to|failed to|failure) (?:\w+ ){0,3}?(?:connect|"
            r"establish|contact|reach)",
            r"no route",
            r"network (?:is )?unreachable",
            r"host (?:is )?(?:down|unreachable)",
            r"no answer",
            r"(?:server|servfail|name server|dns|temporary).{0,30}(?:did not respond|not responding|"
            r"(?:soft|temporary|look-?up) (?:error|failure))",
            r"lookup timed",
            r"not found,? try again",
            r"servfail",
            r"(?:malformed|unexpected) (?:\w+ ){0,3}(?:name server|dns)",
            r"can(?:no|')t (?:create|open|write)",
            r"couldn't (?:create|open|write)",
            r"too many hops",
            r"hop count",
            r"mail(?: forwarding)? loop",
            r"routing loop",
            r"loops? back",
            r"\blooping\b",
            r"excessive hops",
        ),
    ),
    (
        "try_again",
        _any(
            r"gr[ea]y[- ]?list",
            r"(?:try|retry|resend|tried) (?:again )?(?:later|in \d|in a\b|after|your)",
            r"\btemporar\w+",
            r"\bdeferred",
            r"\bpostponed",
            r"at this time",
            r"currently",
            r"later delivery",
            r"momentarily",
            r"plus tard",
            r"später",
            r"más tarde",
            r"più tardi",
            r"mais tarde",
            r"později",
            r"позже",
            r"稍后",
        ),
    ),
    (
        "no_mail_for_domain",
        _any(
            r"null ?mx",
            r"does(?: not|n't) accept (?:\w+ )?(?:e-?mail|mail)",
            r"accepts no mail",
            r"no mail service",
            r"not accepting (?:mail|messages)",
            r"(?:host|domain)(?: or domain)?(?: name)?\W+(?:@\W+)?(?:\S+ ){0,4}?(?:unknown|not found|"
            r"does(?: not|n't) exist|not exist\w*|invalid|not known|no longer|unrout\w+|"
            r"could not be (?:found|resolved))",
            r"(?:unknown|no such|invalid|bad|unrout\w+|illegal) (?:mail )?(?:host|domain)",
            r"nxdomain",
            r"non-?existent (?:host|domain)",
            r"name or service not known",
            r"(?:no|without|any) (?:valid )?(?:mx|a|dns|mail exchanger)(?:/a| or a)?s? (?:record|host)?",
            r"couldn't find any host",
            r"host lookup (?:did not|failed)",
            r"all relevant mx records",
            r"@ does(?: not|n't) exist",
            r"domain is not (?!reach|allow|accept)",
            r"dns (?:hard )?error",
            r"unrouteable mail domain",
        ),
    ),
    (
        "no_mailbox",
        _any(
            r"(?:no such|unknown|invalid|bad|non-?exist\w*|unrout\w+|illegal|incorrect|undeliverable|"
            r"wrong|no valid|not (?:a |an )?(?:valid|existing|known)|inactive|disabled|unable to (?:find|"
            r"locate)|not find|cannot find|unrecogni[sz]ed|no local|ambiguous|"
            rf"no matching)(?: or \w+)? (?:\w+ ){{0,2}}?(?<!\w)\W*\b{_BOX}\b",
            rf"\b{_BOX}\W+(?:@\W+)*(?:\S+ ){{0,6}}?{_GONE}",
            rf"\bno (?:\w+ )?{_BOX}\b(?: by| with| here| at| named| of| in)?",
            r"nobody (?:here|by)",
            r"no one (?:here|by)",
            r"unknown to us",
            r"not our customer",
            r"unknown or illegal alias",
            r"recip(?:ient)?notfound",
            r"nosuchuser",
            r"no_such_user",
            r"user_?unknown",
            r"userunknown",
            r"unknown_user",
            r"invalid_recipient",
            r"adr\.recip\w*",
            r"badrcpt",
            r"address_not_found",
            r"does(?: not|n't) have an? (?:\S+ ){0,4}account",
            r"has (?:been )?(?:moved|left|relocated)",
            r"no longer (?:\w+ ){0,3}?(?:employed|works?|exists?|valid|active|available|in use|here|"
            r"at this|accept\w*)",
            r"address(?: has)? changed",
            r"please (?:\w+ )?(?:update your|use (?:the )?new)",
            r"user not local",
            r"address(?: was| is| has been)? rejected\W*(?:@|see\b|access denied|$)",
            r"recipients? (?:was |were |is |has been )?(?:rejected|refused|not accepted)\W*(?:@|$)",
            r"rejected recipient",
            r"(?:mail ?box|account|address|user) (?:is |was |has been )?(?:currently )?(?:disabled|"
            r"deactivated|unavailable|discontinued)",
            r"unbekannt\w*",
            r"existiert nicht",
            r"nicht (?:gefunden|vorhanden|bekannt)",
            r"inconnu\w*",
            r"n'existe p",
            r"introuvable",
            r"destinataire invalide",
            r"d[ée]sactiv[ée]",
            r"no existe",
            r"desconocid[oa]",
            r"sconosciut[oa]",
            r"non esiste",
            r"inesistente",
            r"n[ãa]o existe",
            r"inexistente",
            r"desconhecid[oa]",
            r"neexistuje",
            r"nezn[áa]m\w+",
            r"nenalezen\w*",
            r"nie istnieje",
            r"nieznan\w+",
            r"не существует",
            r"не найден",
            r"нет такого",
            r"неизвестн\w+",
            r"bestaat niet",
            r"onbekend\w*",
            r"okänd",
            r"findes ikke",
            r"ei löydy",
            r"nem létezik",
            r"ismeretlen",
            r"nu există",
            r"不存在",
            r"无效",
            r"存在しません",
            r"見つかりません",
            r"宛先不明",
            r"ありません",
        ),
    ),
    (
        "try_again",
        _any(r"(?:try|retry|resend|tried) (?:again|in )"),
    ),
    (
        "server_error",
        _any(
            r"system (?:\w+ )?(?:error|failure|problem|resources|not)",
            r"(?:internal|local|server|configuration|mailer|i/o|disk|resource|dns|database)"
            r" (?:\w+ )?(?:error|failure)",
            r"service (?:\w+ )?(?:un|not )available",
            r"out of memory",
            r"read-only",
            r"can't (?:create|open|write)",
            r"syntax error",
            r"command (?:not|un\w+)",
            r"bad sequence",
            r"protocol error",
            r"unsupported",
            r"aborted",
        ),
    ),
    (
        "policy",
        _any(
            r"\bpolic(?:y|ies)\b",
            r"prohibit\w*",
            r"not (?:authori[sz]ed|permitted|allowed)",
            r"administrative\w*",
            r"security",
            r"transport\.rules",
            r"rejected by",
            r"forbidden",
            r"restrict\w*",
            r"access denied",
            r"filter\w*",
            r"violat\w*",
            r"\brule\b",
            r"unacceptable",
            r"(?:message|mail|e-?mail|transaction) (?:was |is |has been )?(?:rejected|refused|denied|"
            r"blocked|not accepted)",
        ),
    ),
)
"""The first that matches counts."""

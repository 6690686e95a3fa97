"""The words of the sample marketplace: twelve markets of three niches, each with a language of its own."""

from __future__ import annotations

from dataclasses import dataclass

NICHES = 3


@dataclass(frozen=True)
class Market:
    """A category; niches are its fields, and each niche has words that the others use less."""

    category: str
    fields: tuple[str, str, str]
    words: tuple[str, ...]
    skills: tuple[str, ...]
    hubs: tuple[str, str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _market(category: str, fields: str, words: str, skills: str, hubs: str) -> Market:
    one, two, three = fields.split(", ")
    first, second = hubs.split("; ")
    return Market(category, (one, two, three), _words(words), tuple(skills.split(", ")), (first, second))


MARKETS = (
    _market(
        "fintech",
        "payments, lending, insurance",
        "checkout card merchant wallet settlement invoice credit loan borrower underwriting repayment score policy "
        "claim premium broker actuary risk",
        "payments APIs, Java, risk modelling, compliance, Kafka, SQL",
        "London, GB; New York, US",
    ),
    _market(
        "health",
        "diagnostics, telemedicine, wellness",
        "imaging biomarker screening radiology lab sample doctor consultation prescription triage remote ward "
        "sleep nutrition habit coach therapy heartrate",
        "Python, FHIR, computer vision, clinical research, regulatory affairs, Swift",
        "Boston, US; Basel, CH",
    ),
    _market(
        "education",
        "tutoring, courseware, campus",
        "lesson tutor homework exam pupil feedback course video curriculum quiz certificate teacher campus alumni "
        "admission dormitory library student",
        "React, instructional design, content, mobile, Ruby, learning analytics",
        "Cambridge, GB; Bangalore, IN",
    ),
    _market(
        "climate",
        "solar, storage, carbon",
        "panel rooftop inverter yield photovoltaic installer battery cell grid charge cycle peak offset emission "
        "registry forest footprint audit",
        "power electronics, C++, energy modelling, GIS, hardware, embedded",
        "Copenhagen, DK; Austin, US",
    ),
    _market(
        "mobility",
        "logistics, micromobility, fleet",
        "parcel route warehouse courier dispatch freight scooter bike dock rider helmet commute truck telematics "
        "driver maintenance fuel mileage",
        "operations research, Go, Android, maps, IoT, scheduling",
        "Berlin, DE; Detroit, US",
    ),
    _market(
        "games",
        "mobile games, esports, studios",
        "puzzle level player booster casual session tournament team league stream arena rank engine shader "
        "narrative quest character console",
        "Unity, C#, game design, 3D art, Unreal, live operations",
        "Helsinki, FI; Montreal, CA",
    ),
    _market(
        "security",
        "identity, detection, privacy",
        "login passkey credential directory token consent malware alert endpoint incident sandbox forensics "
        "encryption anonymise vault tracker cookie audit",
        "cryptography, Rust, threat hunting, reverse engineering, networking, SOC",
        "Tel Aviv, IL; Washington, US",
    ),
    _market(
        "food",
        "delivery, agritech, alternative protein",
        "kitchen menu restaurant order tray basket soil irrigation harvest drone seed greenhouse fermentation tofu "
        "culture texture vegan bioreactor",
        "supply chain, biotechnology, agronomy, mobile, data analysis, food science",
        "Amsterdam, NL; Sao Paulo, BR",
    ),
    _market(
        "property",
        "rentals, construction, smart home",
        "tenant landlord lease viewing deposit flat crane concrete blueprint site scaffold permit thermostat "
        "sensor lock doorbell lighting hub",
        "CAD, BIM, PropTech sales, IoT, TypeScript, civil engineering",
        "Dubai, AE; Toronto, CA",
    ),
    _market(
        "media",
        "podcasts, newsrooms, music",
        "episode host microphone listener show transcript article editor headline paywall reporter archive song "
        "playlist artist royalty studio concert",
        "audio engineering, journalism, Node.js, recommendation, rights, video",
        "Paris, FR; Los Angeles, US",
    ),
    _market(
        "robotics",
        "warehouse robots, surgery robots, drones",
        "picker gripper conveyor shelf pallet lidar surgeon catheter joint tremor haptic sterile propeller payload "
        "inspection flight swarm hover",
        "ROS, control theory, C++, mechanical design, SLAM, perception",
        "Zurich, CH; Tokyo, JP",
    ),
    _market(
        "developer tools",
        "observability, databases, automation",
        "trace metric dashboard log span outage index query replica shard transaction schema pipeline workflow "
        "runner deploy template bot",
        "Kubernetes, Go, PostgreSQL, compilers, distributed systems, TypeScript",
        "San Francisco, US; Stockholm, SE",
    ),
)

COMMON_WORDS = _words(
    "platform team simple fast customers growth modern network trusted global people software data "
    "market better everyday smart service open first"
)
CITIES = tuple(dict.fromkeys(hub for market in MARKETS for hub in market.hubs))
STAGES = ("idea", "pre-seed", "seed", "series-a", "series-b", "growth")
TYPES = ("b2b", "b2c", "marketplace", "saas", "hardware")
FIRST_NAMES = _words(
    "Ada Ben Chloe Dinesh Elif Farid Greta Hiro Ines Jonas Kemi Lars Mina Noor Omar Priya Quentin "
    "Rosa Sven Tara Umar Vera Wen Ximena Yara Zoltan"
)
LAST_NAMES = _words(
    "Abe Becker Costa Diaz Eriksen Fischer Gupta Haddad Ivanova Jensen Kim Lopez Moreau Nowak Okafor "
    "Petrov Quist Rossi Silva Tanaka Ueda Varga Weber Xu Yilmaz Zhang"
)
SYLLABLES = _words("al bo cor da el fin gra hel io ja kin lum mer no or pix qua ri sol ter ul vi wa xen yo zu")
ENDINGS = ("ly", "ify", "base", "works", "labs", "io", "hub", "ware", "grid", "loop")

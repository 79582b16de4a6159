"""The fixed prompts: varied in subject, form and length, from 2 words to a paragraph."""

PROMPTS = (
    "Once upon a time there was a lighthouse keeper who",
    "Explain in two sentences why the sky is blue.",
    "def fibonacci(n):",
    "Dear Sir or Madam, I am writing to complain about",
    "The capital of France is",
    "Write a haiku about rain on a tin roof.",
    "My landlord has given me until Friday to pay three months of rent. I have forty dollars, "
    "two children and no family in this city. What should I do?",
    "SELECT name, COUNT(*) FROM orders",
    "Translate into German: The train was late again this morning.",
    "Q: How many legs does a spider have?\nA:",
    "In the beginning the universe was created. This has made a lot of people very angry and",
    "List five things to take on a hike in the mountains in late October, with a reason for each.",
    "She opened the letter with trembling hands. After eleven years of silence, the handwriting "
    "was unmistakable, and the first line read:",
    "Good morning",
    "Summarise: The committee met on Tuesday and decided, by seven votes to two, to postpone the "
    "building of the new bridge until the survey of the river bed has been completed. The mayor "
    "abstained. Two members of the public spoke against the delay, and a petition with four "
    "hundred signatures was handed in. The next meeting is in March.",
    "What is the difference between a virus and a bacterium?",
    "To bake bread you need flour, water, salt and",
    "Tell me a joke about a statistician.",
    "The test has failed eleven times now, and the deadline is in an hour. I",
    "import numpy as np\n\nx = np.linspace(0, 1, 100)\ny =",
    "Roses are red, violets are blue,",
    "A farmer has 17 sheep. All but 9 run away. How many are left? Think step by step.",
    "Patient reports intermittent chest pain on exertion for two weeks, no radiation, relieved by "
    "rest. Past history: hypertension, on lisinopril. Assessment:",
    "The quick brown fox",
    "Write the opening paragraph of a detective novel set in Lisbon in 1938.",
    "Thank you so much for yesterday! It was the best birthday I have had since",
    "What happens to the human body during the first week without sleep? Describe it day by day, "
    "and say which of the effects are reversible.",
    "He knew that he had been lied to, and still he",
    "Name three rivers in Africa.",
    "Minutes of the meeting of 4 May. Present: Anna, Bogdan, Chidi. Item 1:",
    "Is it ever right to break a promise?",
    "In 1969, two men walked on the moon while a third",
)
